// Draws a stage: its arithmetic as text, its two grids on the canvas. stepper.js, which follows, says when.

const NUMBERS_FROM = 26 // px; in smaller cells numbers can't be read
const THICKNESS = [[40, 4], [16, 3], [0, 2]] // px of an outline, from the given size of a cell on
const DARK_TEXT_FROM = 117 // the grey on which black and white text have the same contrast
const FAINT = "rgb(128 128 128 / 0.35)" // hatching, and round every cell: a white one would be lost on a white page
const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹", ROOTS = { 2: "½", 3: "⅓", 4: "¼" }

// --- the arithmetic

const number = (value) => (value === null ? "–" : minus((Math.abs(value) < 0.005 ? 0 : value).toFixed(2)))
const short = (value) => minus(String(Number(value.toFixed(4)))) // weights and divisors: 0.0625, 9
const minus = (text) => text.replace("-", "−")
const guarded = (text) => (text.startsWith("−") ? `(${text})` : text)

// The text of a cell's arithmetic: what opens it, its terms, what stands between them, what closes it.
function equation({ name, form, norm }, { terms, divisor }) {
  const values = terms.map(([, , value]) => number(value)), close = divisor === 1 ? "" : ` ) ÷ ${short(divisor)}`
  const open = close && "( "
  if (form === "pick") return [`${name}( `, values, ", ", " )"]
  if (form === "copy") return ["", terms.map(([row, column]) => `input[${row}, ${column}]`), ", ", ""]
  if (form === "mean") return ["( ", values.map(guarded), " + ", close || " ) ÷ 1"]
  const weigh = (value, i) => `${guarded(short(terms[i][3]))} · ${guarded(value)}`
  if (form === "weighted") return [open, values.map(weigh), " + ", close]
  const raised = norm === 1 ? "" : POWERS[norm] ?? `^${short(norm)}`
  const power = (value) => (norm === 2 ? guarded(value) : `|${value}|`) + raised
  const root = norm === 1 ? "" : `^${ROOTS[norm] ?? `(1/${short(norm)})`}`
  return [`${open}( `, values.map(power), " + ", `${close} )${root}`]
}

function writeArithmetic({ data, arith, columns }, n) {
  const { winner } = data.cells[n], [open, terms, join, close] = equation(data, data.cells[n])
  const pieces = terms.flatMap((term, i) => [i ? join : "", span(term, i === winner ? "winner" : "term")])
  const result = data.output[Math.floor(n / columns)][n % columns]
  arith.replaceChildren(open, ...pieces, `${close} = `, span(number(result), "result"))
}

function span(text, name) {
  const element = document.createElement("span")
  element.append(text)
  element.className = name
  return element
}

// --- the canvas

function readInks({ canvas }) {
  const style = getComputedStyle(canvas), themed = (name) => style.getPropertyValue(`--st-${name}`).trim()
  return {
    text: themed("text-color"), page: themed("background-color"), panel: themed("secondary-background-color"),
    ring: themed("primary-color"), window: style.caretColor, font: themed("font"),
  }
}

function draw(stage) {
  const { canvas, layout, data, touched, count } = stage, shown = stage.hover ?? stage.n
  const pen = canvas.getContext("2d"), readers = touched && (stage.readers[String(touched)] ?? [])
  stage.frame = 0
  pen.setTransform(layout.ratio, 0, 0, layout.ratio, 0, 0)
  pen.clearRect(0, 0, layout.width, layout.height)
  drawCaptions(pen, stage, readers)
  drawGrids(pen, stage)
  drawWindow(pen, stage, shown)
  if (readers) drawReaders(pen, stage, readers)
  if (stage.written !== `${data.id} ${shown}`) write(stage, shown)
  canvas.dataset.state = `n=${shown + 1} of=${count} id=${data.id}`
  canvas.dataset.readers = readers?.length ?? ""
  if (stage.glide) requestDraw(stage)
}

function write(stage, n) {
  writeArithmetic(stage, n)
  stage.written = `${stage.data.id} ${n}`
  stage.lab.textContent = label(stage, n)
  stage.scrub.value = n
  stage.scrub.setAttribute("aria-valuetext", stage.lab.textContent)
}

function drawCaptions(pen, { layout: { input, output, deep }, area: [rows, columns], data, inks, count }, readers) {
  const padded = rows.padded - rows.first > rows.size || columns.padded - columns.first > columns.size
  const reads = readers?.length ? `In ${readers.length} of ${count} windows` : "In no window"
  const above = (text, x, y) => pen.fillText(text, x, y - 11)
  Object.assign(pen, { font: `600 16px ${inks.font}`, fillStyle: inks.text, textAlign: "left", textBaseline: "alphabetic" })
  above(`Input ${rows.size} × ${columns.size}${padded ? ", padded" : ""}`, MARGIN, input.y + rows.first * deep)
  above(readers ? reads : `Output ${data.output.length} × ${data.output[0].length}`, output.x, output.y)
}

function drawGrids(pen, stage) {
  const { layout: { input, output }, area: [rows, columns], data, playing, n } = stage
  for (let row = rows.first; row < rows.end; row++) {
    for (let column = columns.first; column < columns.end; column++) {
      const isPadding = row < rows.padded && column < columns.padded
      drawCell(pen, stage, input, row, column, data.input[row]?.[column], isPadding)
    }
  }
  data.output.forEach((values, row) => values.forEach((value, column) => {
    const known = !playing || row * values.length + column <= n
    drawCell(pen, stage, output, row, column, known ? value : undefined, false)
  }))
}

function drawCell(pen, { layout: { cell, deep }, data, inks }, origin, row, column, value, isPadding) {
  const x = origin.x + column * cell, y = origin.y + row * deep, width = cell - 1, height = deep - 1
  if (value !== undefined) drawNumber(pen, x, y, width, height, value, data.range, inks)
  else if (isPadding) drawHatching(pen, x, y, width, height, inks)
  Object.assign(pen, { strokeStyle: FAINT, lineWidth: 1 })
  pen.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1)
}

function drawNumber(pen, x, y, width, height, value, [low, high], { font }) {
  const grey = Math.round(255 * Math.max(0, Math.min(1, (value - low) / (high - low || 1))))
  pen.fillStyle = `rgb(${grey} ${grey} ${grey})`
  pen.fillRect(x, y, width, height)
  if (width + 1 < NUMBERS_FROM) return
  const size = Math.max(10, Math.min(24, 0.34 * width))
  Object.assign(pen, { font: `${size}px ${font}`, textAlign: "center", textBaseline: "middle" })
  pen.fillStyle = grey > DARK_TEXT_FROM ? "black" : "white"
  pen.fillText(number(value), x + width / 2, y + height / 2 + 1, width - 2)
}

function drawHatching(pen, x, y, width, height, { panel }) {
  pen.fillStyle = panel
  pen.fillRect(x, y, width, height)
  pen.beginPath()
  for (const [fromX, fromY, toX, toY] of [[0, 0.5, 0.5, 0], [0, 1, 1, 0], [0.5, 1, 1, 0.5]]) {
    pen.moveTo(x + fromX * width, y + fromY * height)
    pen.lineTo(x + toX * width, y + toY * height)
  }
  Object.assign(pen, { strokeStyle: FAINT, lineWidth: 1 })
  pen.stroke()
}

// Draws along the inside of the given cells, so that neighbouring outlines stay apart.
function outline(pen, { layout: { cell, deep } }, origin, row, column, high, wide, colour, thickness, inset = 0) {
  const edge = inset + thickness / 2, x = origin.x + column * cell + edge, y = origin.y + row * deep + edge
  Object.assign(pen, { strokeStyle: colour, lineWidth: thickness })
  pen.strokeRect(x, y, wide * cell - 1 - 2 * edge, high * deep - 1 - 2 * edge)
}

const thicknessOf = ({ layout: { cell } }) => THICKNESS.find(([from]) => cell >= from)[1]

function drawWindow(pen, stage, shown) {
  const { layout: { input, output }, data, inks } = stage, { kernel: [rows, columns], dilation: [down, across] } = data
  const [row, column] = windowCorner(stage), thick = thicknessOf(stage)
  outline(pen, stage, input, row, column, (rows - 1) * down + 1, (columns - 1) * across + 1, inks.window, thick)
  outline(pen, stage, output, ...place(stage, shown), 1, 1, inks.window, thick)
  for (let i = 0; i < rows * columns && down * across > 1; i++) { // the window skips cells: mark those that it reads
    const y = Math.floor(i / columns) * down, x = (i % columns) * across
    outline(pen, stage, input, row + y, column + x, 1, 1, inks.window, thick - 1)
  }
  const { terms, winner } = data.cells[shown]
  if (winner !== null && !stage.glide && !stage.touched) drawRing(pen, stage, input, terms[winner])
}

function drawReaders(pen, stage, readers) {
  drawRing(pen, stage, stage.layout.input, stage.touched)
  readers.forEach((n) => drawRing(pen, stage, stage.layout.output, place(stage, n)))
}

// A ring stands inside the window's outline, on any grey: a line in the page's colour keeps it apart from the cell.
function drawRing(pen, stage, origin, [row, column]) {
  const inset = thicknessOf(stage) - 1, thick = Math.max(2, inset)
  outline(pen, stage, origin, row, column, 1, 1, stage.inks.page, thick + 2, inset)
  outline(pen, stage, origin, row, column, 1, 1, stage.inks.ring, thick, inset + 1)
}
