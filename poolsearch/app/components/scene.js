// Draws a stage: two grids, the window, what is pointed at. stepper.js says when, drawing.js has the pieces.

const WEIGHTS_FROM = 48 // px; in smaller cells there is no room for a weight under the number
const VALUES_FROM = 40 // px; in smaller cells there is no room for a pixel's value under its gradient
const LETTER = 0.47 // em: the mean width of a letter of such a weight
const PALEST = 0.2 // of a colour: the smallest share of a gradient must still show whether it is negative

function draw(stage) {
  const { canvas, layout, data, touched, count } = stage, shown = stage.hover ?? stage.n
  const pen = canvas.getContext("2d"), readers = touched && (stage.readers[String(touched)] ?? new Map())
  stage.frame = 0
  pen.setTransform(layout.ratio, 0, 0, layout.ratio, 0, 0)
  pen.clearRect(0, 0, layout.width, layout.height)
  drawCaptions(pen, stage, readers)
  drawInput(pen, stage, shown)
  drawOutput(pen, stage)
  drawWindow(pen, stage, shown)
  if (readers) drawReaders(pen, stage, readers)
  say(stage, shown)
  canvas.dataset.state = `n=${shown + 1} of=${count} id=${data.id}`
  canvas.dataset.readers = readers?.size ?? ""
  canvas.dataset.revealed = predicts(stage) ? stage.revealed.size : ""
  if (stage.glide) requestDraw(stage)
}

// The words around the canvas, where they have changed.
function say(stage, n) {
  const said = [stage.data.id, n, stage.revealed.size].join()
  if (said === stage.said) return
  stage.said = said
  writeArithmetic(stage, n, isKnown(stage, n))
  stage.lab.textContent = label(stage, n)
  stage.scrub.value = n
  stage.scrub.setAttribute("aria-valuetext", stage.lab.textContent)
}

const captionFont = ({ inks }) => `600 16px ${inks.font}`

function drawCaptions(pen, stage, readers) {
  const { layout: { input, output, deep, width }, area: [rows], data: { captions }, inks } = stage
  const above = (text, x, y) => pen.fillText(text, x, y - 11, width - x - MARGIN)
  Object.assign(pen, { font: captionFont(stage), fillStyle: css(inks.text) })
  Object.assign(pen, { textAlign: "left", textBaseline: "alphabetic" })
  above(captions[0], MARGIN, input.y + rows.first * deep)
  above(readers ? readersCaption(stage, readers) : captions[1], output.x, output.y)
}

function readersCaption({ data, count }, readers) {
  if (data.backward) return `Over all outputs: ${number(sum([...readers.values()]))}, from ${readers.size} of ${count}`
  return readers.size ? `In ${readers.size} of ${count} windows` : "In no window"
}

function drawInput(pen, stage, shown) {
  const { layout, area: [rows, columns], data, outside } = stage, { backward } = data
  const shares = backward && sharesOf(stage, shown), weights = weightsOf(stage, shown)
  for (let row = rows.first; row < rows.end; row++) {
    for (let column = columns.first; column < columns.end; column++) {
      const box = boxOf(layout, layout.input, row, column), key = `${row},${column}`
      const value = data.input[row]?.[column], beyond = backward ? undefined : outside[key], below = weights[key]
      if (value !== undefined && backward) drawShare(pen, stage, box, value, shares[key])
      else if (value !== undefined) drawNumber(pen, stage, box, value, { below })
      else if (beyond !== undefined) drawNumber(pen, stage, box, beyond, { faded: true, below })
      else if (rows.padded(row) && columns.padded(column)) drawPadding(pen, stage, box)
      frame(pen, box)
    }
  }
}

// What is written under each number of a weighted window, by "row,column"; all of it in one size.
function weightsOf({ data, layout: { cell } }, n) {
  const { form, terms } = data.cells[n]
  if (form !== "weighted" || data.backward || cell < WEIGHTS_FROM) return {}
  const texts = Object.entries(byPlace(terms, 3)).map(([key, weight]) => [key, `× ${short(weight)}`])
  const fitting = (cell - 8) / (LETTER * Math.max(...texts.map(([, text]) => text.length)))
  const size = Math.max(10, Math.min(18, 0.26 * cell, fitting))
  return Object.fromEntries(texts.map(([key, text]) => [key, { text, size }]))
}

// One entry of each [row, column, ...], by "row,column"; of one that comes several times the sum.
function byPlace(entries, which) {
  const found = {}
  for (const entry of entries) {
    const key = `${entry[0]},${entry[1]}`
    found[key] = (found[key] ?? 0) + entry[which]
  }
  return found
}

// What the pixels get, by "row,column": of the gradient of one output, or of all together.
const sharesOf = ({ data, summed }, n) => (data.sum ? summed : byPlace(data.cells[n].gradient ?? [], 2))

// A pixel's share of the gradient: blue if the output grows with the pixel, vermillion if it falls. Its value stands
// below, or as a bar where cells are upright.
function drawShare(pen, stage, box, value, share = 0) {
  const { inks: { panel, ring, window }, steepest, layout: { cell, upright } } = stage
  const strength = PALEST + (1 - PALEST) * Math.abs(share) / steepest
  const ground = share ? mix(panel, share > 0 ? ring : window, strength) : panel
  fill(pen, box, ground)
  if (upright) drawBar(pen, stage, box, value, true)
  const below = !upright && cell >= VALUES_FROM ? { text: number(value), size: Math.max(10, 0.2 * cell) } : undefined
  write(pen, stage, box, share ? number(share) : "0", ground, { alpha: share ? 1 : 0.6, below })
}

function drawPadding(pen, stage, box) {
  fill(pen, box, stage.inks.panel)
  drawHatching(pen, stage, box)
}

function drawOutput(pen, stage) {
  const { layout, data, playing, n } = stage, { panel } = stage.inks
  data.output.flat().forEach((value, i) => {
    const box = boxOf(layout, layout.output, ...place(stage, i)), ahead = playing && !data.backward && i > n
    if (!isKnown(stage, i)) {
      fill(pen, box, panel)
      write(pen, stage, box, "?", panel)
    } else if (!ahead || predicts(stage)) drawNumber(pen, stage, box, value)
    frame(pen, box)
  })
}

function drawWindow(pen, stage, shown) {
  if (stage.data.sum) return
  const { layout: { input, output }, data, inks } = stage, { kernel: [rows, columns], dilation: [down, across] } = data
  const area = windowNow(stage), thick = thicknessOf(stage)
  outline(pen, stage, input, area, inks.window, thick)
  outline(pen, stage, output, [...place(stage, shown), 1, 1], inks.window, thick)
  for (let i = 0; i < rows * columns && down * across > 1; i++) { // the window skips cells: mark those that it reads
    const row = area[0] + Math.floor(i / columns) * down, column = area[1] + (i % columns) * across
    outline(pen, stage, input, [row, column, 1, 1], inks.window, thick - 1)
  }
  const { terms, winner } = data.cells[shown], picked = winner !== null && !data.backward && isKnown(stage, shown)
  if (picked && !stage.glide && !stage.touched) drawRing(pen, stage, input, terms[winner])
}

function drawReaders(pen, stage, readers) {
  drawRing(pen, stage, stage.layout.input, stage.touched)
  for (const n of readers.keys()) drawRing(pen, stage, stage.layout.output, place(stage, n))
}
