// What every canvas here is drawn with: colours, cells, outlines. A "view" has its data's range, its inks and a layout.

const NUMBERS_FROM = 24, UPRIGHT_FROM = 22 // px; in narrower cells, or narrower upright ones, numbers can't be read
const THICKNESS = [[40, 4], [16, 3], [0, 2]] // px of an outline, from the given size of a cell on
const DARK_TEXT_FROM = 0.179 // the relative luminance on which black and white text have the same contrast
const FAINT = "rgb(128 128 128 / 0.35)" // round every cell: a white one would be lost on a white page
const FADED = 0.72 // share of the panel in a cell that lies outside the map
const STRIP = 0.7 // of a cell's width: the foot of an upright cell, where its number stands

const minus = (text) => text.replace("-", "−")
const number = (value) => (value === null ? "–" : minus((Math.abs(value) < 0.005 ? 0 : value).toFixed(2)))
const short = (value) => minus(String(Number(value.toFixed(4)))) // weights and divisors: 0.0625, 9

// --- colours: [red, green, blue] from 0 to 255

const css = (colour) => `rgb(${colour.join(" ")})`
const mix = (from, to, share) => from.map((level, i) => Math.round(level + (to[i] - level) * share))

// The theme's colours as they hold for an element, all of them opaque.
function readInks(element) {
  const style = getComputedStyle(element), pen = document.createElement("canvas").getContext("2d")
  const parsed = (colour) => {
    pen.fillStyle = colour
    return pen.fillStyle.match(/[0-9a-f]{2}/g).map((pair) => parseInt(pair, 16))
  }
  const themed = (name) => parsed(style.getPropertyValue(`--st-${name}`).trim())
  return {
    text: themed("text-color"), page: themed("background-color"), panel: themed("secondary-background-color"),
    ring: themed("primary-color"), window: parsed(style.caretColor), font: style.getPropertyValue("--st-font").trim(),
  }
}

const portion = (value, [low, high]) => Math.max(0, Math.min(1, (value - low) / (high - low || 1)))

function greyOf(value, range) {
  const grey = Math.round(255 * portion(value, range))
  return [grey, grey, grey]
}

function textOn(colour) {
  const [red, green, blue] = colour.map((level) => (level / 255) ** 2.2)
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > DARK_TEXT_FROM ? "black" : "white"
}

// --- cells: a box is [x, y, width, height] in px

const boxOf = ({ cell, deep }, { x, y }, row, column) => [x + column * cell, y + row * deep, cell - 1, deep - 1]

// A number as the grey of its cell, or as a bar in an upright one; more words about it in `below`.
function drawNumber(pen, view, box, value, { faded = false, below } = {}) {
  const { inks: { panel }, data: { range }, layout: { upright } } = view
  const ground = upright ? panel : mix(greyOf(value, range), panel, faded ? FADED : 0)
  fill(pen, box, ground)
  if (upright) drawBar(pen, view, box, value, faded)
  if (faded) drawHatching(pen, view, box)
  write(pen, view, box, number(value), ground, { below })
}

// From the level of zero, at which the floor stands where no number is negative.
function drawBar(pen, { inks: { panel, text }, data: { range } }, [x, y, width, height], value, faded) {
  const room = height - STRIP * width - 4, level = (number) => Math.round(y + 4 + room * (1 - portion(number, range)))
  const [from, to] = [level(0), level(value)].sort((a, b) => a - b)
  fill(pen, [x + 2, from, width - 4, Math.max(1, to - from)], mix(panel, text, faded ? 0.25 : 0.5))
}

function fill(pen, box, colour) {
  pen.fillStyle = css(colour)
  pen.fillRect(...box)
}

// Writes into the middle of a cell, or into the foot of an upright one; `below` is { text, size }, a smaller line.
function write(pen, { inks, layout: { upright } }, [x, y, width, height], text, ground, { below, alpha = 1 } = {}) {
  if (width + 1 < (upright ? UPRIGHT_FROM : NUMBERS_FROM)) return
  const size = Math.max(10, Math.min(24, 0.34 * width)), foot = upright ? STRIP * width : height
  const middle = y + height - foot / 2 + 1
  const line = (at, px, words) => {
    pen.font = `${px}px ${inks.font}`
    pen.fillText(words, x + width / 2, at, width - 2)
  }
  Object.assign(pen, { textAlign: "center", textBaseline: "middle", fillStyle: textOn(ground), globalAlpha: alpha })
  line(below ? middle - 0.55 * below.size : middle, size, text)
  if (below) line(middle + 0.55 * size, below.size, below.text)
  pen.globalAlpha = 1
}

function drawHatching(pen, { inks }, [x, y, width, height]) {
  pen.beginPath()
  for (const [fromX, fromY, toX, toY] of [[0, 0.5, 0.5, 0], [0, 1, 1, 0], [0.5, 1, 1, 0.5]]) {
    pen.moveTo(x + fromX * width, y + fromY * height)
    pen.lineTo(x + toX * width, y + toY * height)
  }
  Object.assign(pen, { strokeStyle: css(inks.text), lineWidth: 1, globalAlpha: 0.25 })
  pen.stroke()
  pen.globalAlpha = 1
}

function frame(pen, [x, y, width, height]) {
  Object.assign(pen, { strokeStyle: FAINT, lineWidth: 1 })
  pen.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1)
}

// --- outlines

const thicknessOf = ({ layout: { cell } }) => THICKNESS.find(([from]) => cell >= from)[1]

// Draws along the inside of the given cells, so that neighbouring outlines stay apart.
function outline(pen, { layout: { cell, deep } }, origin, [row, column, high, wide], colour, thickness, inset = 0) {
  const edge = inset + thickness / 2, x = origin.x + column * cell + edge, y = origin.y + row * deep + edge
  Object.assign(pen, { strokeStyle: css(colour), lineWidth: thickness })
  pen.strokeRect(x, y, wide * cell - 1 - 2 * edge, high * deep - 1 - 2 * edge)
}

// A ring stands inside the window's outline, on any grey: a line in the page's colour keeps it apart from the cell.
// In an upright cell it goes round the bar: at the foot it would cut the number.
function drawRing(pen, view, origin, [row, column]) {
  const { cell, deep, upright } = view.layout, inset = thicknessOf(view) - 1, thick = Math.max(2, inset)
  const area = [row, column, upright ? 1 - (STRIP * cell - inset - thick) / deep : 1, 1]
  outline(pen, view, origin, area, view.inks.page, thick + 2, inset)
  outline(pen, view, origin, area, view.inks.ring, thick, inset + 1)
}
