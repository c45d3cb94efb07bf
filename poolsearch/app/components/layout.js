// How large everything is: the cells as large as the window lets them be, the words with room for the longest.

const MARGIN = 4, CAPTION = 28, GAP = 48 // px: round the grids for thick outlines, above a grid, between the grids
const LARGEST_CELL = 96, SIGNAL_HEIGHT = 220 // px; the cells of a signal stand upright

// Rows and columns of the input with its padding, and what a window or a number beyond the border reaches.
function inputArea({ input, outside, padding, cells }) {
  const along = (axis, size) => {
    const [begin, end] = padding[axis], beyond = outside.map((entry) => entry[axis])
    const from = cells.map(({ window }) => window[axis]), to = from.map((at, n) => at + cells[n].window[axis + 2])
    const first = Math.min(-begin, ...beyond, ...from), last = Math.max(size + end, ...beyond.map((at) => at + 1), ...to)
    return { first, end: last, padded: (i) => i >= -begin && i < size + end }
  }
  return [along(0, input.length), along(1, input[0].length)]
}

function fit(stage) {
  const { box, canvas, data } = stage, width = box.clientWidth, ratio = devicePixelRatio
  if (!data || !width) return // on a hidden tab; the observer calls again
  reserveArithmetic(stage, width)
  const room = roomFor(canvas), fitted = [data.id, width, room, ratio].join()
  if (fitted === stage.fitted) return
  const layout = { ...arrange(stage, width, room), width, ratio }, { cell, deep, input, output, height } = layout
  Object.assign(stage, { fitted, layout })
  canvas.style.height = `${height}px`
  Object.assign(canvas, { width: width * ratio, height: height * ratio })
  Object.assign(canvas.dataset, { cell, deep, ix: input.x, iy: input.y, ox: output.x, oy: output.y })
  draw(stage) // at once: a resized canvas is empty
}

// The elements of the page that stand around one in a shadow root, from the inside out.
function around(element) {
  const found = []
  for (let node = element.getRootNode().host ?? element; node; node = node.parentElement) found.push(node)
  return found
}

// The height from the top of the canvas to the end of the window, wherever the page is scrolled to.
function roomFor(canvas) {
  let top = canvas.getBoundingClientRect().top, below = 0
  for (const node of around(canvas)) {
    top += node.scrollTop
    below += parseFloat(getComputedStyle(node).paddingBottom)
  }
  return Math.max(240, innerHeight - top - below)
}

// Stands the output beside or below the input, whichever gives the larger cells; that of a signal below.
function arrange(stage, width, room) {
  const { area: [rows, columns], data: { output: { length: highOut } }, columns: wideOut } = stage
  const high = rows.end - rows.first, wide = columns.end - columns.first, across = width - 2 * MARGIN
  const upright = high === 1 && highOut === 1, [captionIn, captionOut] = captionWidths(stage)
  const tall = (room - CAPTION - 2 * MARGIN) / Math.max(high, highOut), stacked = room - 2 * CAPTION - 5 * MARGIN
  const left = across - GAP, narrow = Math.min((left - captionOut) / wide, (left - captionIn) / wideOut)
  const beside = upright ? 0 : Math.min(left / (wide + wideOut), narrow, tall)
  const below = Math.min(across / Math.max(wide, wideOut), stacked / (high + highOut))
  const cell = Math.max(3, Math.min(LARGEST_CELL, Math.floor(Math.max(beside, below))))
  const deep = upright ? Math.max(cell, Math.min(SIGNAL_HEIGHT, Math.floor(stacked / 2))) : cell
  const top = CAPTION + MARGIN, bottom = top + high * deep
  const input = { x: MARGIN - columns.first * cell, y: top - rows.first * deep }
  const output = { x: MARGIN + Math.max(captionIn, wide * cell) + GAP, y: top }
  if (below > beside) Object.assign(output, { x: MARGIN, y: bottom + CAPTION + 3 * MARGIN })
  return { cell, deep, upright, input, output, height: Math.max(bottom, output.y + highOut * deep) + MARGIN }
}

// The room in px that the words above each grid need, whatever is pointed at.
function captionWidths(stage) {
  const pen = stage.canvas.getContext("2d"), all = new Map(Array.from({ length: stage.count }, (_, n) => [n, -1]))
  pen.font = captionFont(stage)
  const wide = (text) => Math.ceil(pen.measureText(text).width), [input, output] = stage.data.captions
  return [wide(input), Math.max(wide(output), wide(readersCaption(stage, all)))]
}

// Keeps room for the longest arithmetic of this stage, so that nothing jumps from cell to cell.
function reserveArithmetic(stage, width) {
  const { arith, data } = stage, reserved = `${data.id} ${width}`
  if (stage.reserved === reserved) return
  const lengthOf = (n) => arithmetic(stage, n, true).map(([text]) => text).join("").length
  const lengths = data.cells.map((_, n) => [lengthOf(n), n])
  const longest = lengths.sort(([a], [b]) => b - a).slice(0, 5) // the very longest need not break into most lines
  const heightNow = () => arith.getBoundingClientRect().height // not offsetHeight, which is rounded
  const heightOf = ([, n]) => { writeArithmetic(stage, n, true); return heightNow() }
  const tallest = () => Math.max(...longest.map(heightOf))
  Object.assign(arith, { className: "", style: "", textContent: "one line" })
  if (heightNow() < tallest()) arith.className = "long"
  arith.style.minHeight = `${tallest()}px`
  Object.assign(stage, { reserved, said: null })
}
