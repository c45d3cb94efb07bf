// The life of a stage: mounting, stepping, pointing, sizes. drawing.js, which stands before it, draws the stage.
// No pooling is computed here: every number comes from Python.
//
// data: input, output               grids of numbers
//       kernel, stride, dilation    [rows, columns]
//       padding                     [[top, bottom], [left, right]]
//       name, form, norm            how the arithmetic is written; form: pick | mean | weighted | root | copy
//       range                       [lowest, highest], the grey scale of both grids
//       cells                       { terms: [[row, column, value, weight], ...], divisor, winner } for each number
//                                   of the output, in reading order
//       id                          changes whenever anything above changes

const MARGIN = 4, CAPTION = 28, GAP = 48 // px: round the grids for thick outlines, above a grid, between the grids
const NARROWEST = 150, LARGEST_CELL = 96, SIGNAL_HEIGHT = 48 // px; the first is what a caption needs above one cell

const stages = new WeakMap() // by the element that Streamlit mounts into

// Streamlit calls this again for new data and for a new theme, and the cleanup once, when the component goes.
export default function ({ data, parentElement: root }) {
  const stage = stages.get(root) ?? mount(root)
  if (stage.data?.id !== data.id) load(stage, data)
  stage.inks = readInks(stage)
  requestDraw(stage)
  return () => unmount(root)
}

function mount(root) {
  const part = (name) => root.querySelector(name)
  const stage = {
    box: part(".stage"), canvas: part("canvas"), arith: part("#arith"), lab: part("#lab"), play: part("#play"),
    scrub: part("#scrub"), speed: part("#speed"), n: 0, hover: null, touched: null, playing: false, glide: null,
  }
  part("#prev").onclick = () => go(stage, stage.n - 1)
  part("#next").onclick = () => go(stage, stage.n + 1)
  stage.play.onclick = () => setPlaying(stage, !stage.playing)
  stage.scrub.oninput = () => go(stage, Number(stage.scrub.value))
  stage.box.onkeydown = (event) => onKey(stage, event)
  stage.canvas.onpointermove = (event) => onPointer(stage, event)
  stage.canvas.onpointerleave = () => pointAt(stage, null, null)
  stage.canvas.onclick = (event) => onClick(stage, event)
  stage.refit = () => fit(stage)
  stage.observer = new ResizeObserver(stage.refit)
  stage.observer.observe(stage.box)
  addEventListener("resize", stage.refit) // the observer doesn't see the height of the window
  document.fonts.ready.then(() => { fit(stage); requestDraw(stage) }) // the page's headings may have grown, too
  stages.set(root, stage)
  return stage
}

function unmount(root) {
  const stage = stages.get(root)
  clearTimeout(stage?.timer)
  cancelAnimationFrame(stage?.frame)
  removeEventListener("resize", stage?.refit)
  stage?.observer.disconnect()
  stages.delete(root)
}

function load(stage, data) {
  const [row, column] = stage.data ? place(stage, stage.n) : [0, 0]
  const rows = data.output.length, columns = data.output[0].length
  Object.assign(stage, { data, columns, count: rows * columns, hover: null, touched: null, glide: null })
  stage.n = Math.min(row, rows - 1) * columns + Math.min(column, columns - 1) // stay near the cell that was open
  stage.area = inputArea(data)
  stage.readers = readersOf(data)
  stage.scrub.max = stage.count - 1
  stage.lab.style.minWidth = `${label(stage, stage.count - 1).length}ch` // else the scrub bar would breathe
  fit(stage)
}

// One frame at most is under way; an idle stage asks for none.
function requestDraw(stage) {
  if (!stage.frame && stage.layout) stage.frame = requestAnimationFrame(() => draw(stage))
}

// --- stepping

const place = ({ columns }, n) => [Math.floor(n / columns), n % columns]
const interval = ({ speed }) => 1000 / speed.value // ms; the slider counts cells a second

// Row and column of the window's corner on the input; between two cells while it glides.
function windowCorner(stage) {
  const { data: { stride, padding }, glide } = stage, at = place(stage, stage.hover ?? stage.n)
  const goal = at.map((step, axis) => step * stride[axis] - padding[axis][0])
  if (!glide) return goal
  const left = Math.max(0, 1 - (performance.now() - glide.start) / glide.ms) // of the time, 1 to 0
  if (!left) stage.glide = null
  return goal.map((end, axis) => end + (glide.from[axis] - end) * left ** 3)
}

function label(stage, n) {
  const [row, column] = place(stage, n)
  return `Cell ${n + 1} of ${stage.count}: row ${row + 1}, column ${column + 1}`
}

function go(stage, n) {
  const from = windowCorner(stage)
  setPlaying(stage, false)
  moveTo(stage, n, from)
}

function moveTo(stage, n, from = windowCorner(stage)) {
  const still = stage.hover !== null || matchMedia("(prefers-reduced-motion: reduce)").matches
  stage.n = Math.max(0, Math.min(stage.count - 1, n))
  stage.glide = still ? null : { from, start: performance.now(), ms: Math.min(220, interval(stage) / 2) }
  requestDraw(stage)
}

function setPlaying(stage, on) {
  clearTimeout(stage.timer)
  Object.assign(stage, { playing: on, hover: null, touched: null }) // what was asked for last is what shows
  if (on && stage.n === stage.count - 1) moveTo(stage, 0)
  if (on) stage.timer = setTimeout(playNext, interval(stage), stage)
  stage.play.textContent = on ? "Pause" : "Play"
  stage.play.setAttribute("aria-label", on ? "Pause" : "Play")
  stage.arith.setAttribute("aria-live", on ? "off" : "polite") // a screen reader can't keep up with playing
  requestDraw(stage)
}

function playNext(stage) {
  moveTo(stage, stage.n + 1)
  if (stage.n === stage.count - 1) setPlaying(stage, false)
  else stage.timer = setTimeout(playNext, interval(stage), stage)
}

function onKey(stage, event) {
  const { n, columns, count } = stage, part = event.target.localName
  if (part === "input" || (part === "button" && event.key === " ")) return // there the keys have a meaning already
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -n, End: count - 1 - n }
  const goal = n + steps[event.key]
  if (event.key === " ") setPlaying(stage, !stage.playing)
  else if (goal >= 0 && goal < count) go(stage, goal)
  if (event.key === " " || event.key in steps) event.preventDefault() // the page must not scroll
}

function onPointer(stage, event) {
  const { left, top } = stage.canvas.getBoundingClientRect(), { cell, deep, input, output } = stage.layout
  const hit = (origin, grid) => {
    const row = Math.floor((event.clientY - top - origin.y) / deep)
    const column = Math.floor((event.clientX - left - origin.x) / cell)
    return grid[row]?.[column] === undefined ? null : [row, column]
  }
  const out = hit(output, stage.data.output)
  pointAt(stage, out && out[0] * stage.columns + out[1], hit(input, stage.data.input))
}

// Pins a cell of the output. A finger points nowhere before it taps, so this points first.
function onClick(stage, event) {
  onPointer(stage, event)
  if (stage.hover !== null) go(stage, stage.hover)
}

function pointAt(stage, hover, touched) {
  if (hover === stage.hover && String(touched) === String(stage.touched)) return
  Object.assign(stage, { hover, touched, glide: null })
  stage.canvas.style.cursor = hover === null ? "default" : "pointer"
  requestDraw(stage)
}

// --- sizes

// Rows and columns of the input with its padding, and what a window reaches beyond that if the size is rounded up.
function inputArea({ input, output, kernel, stride, dilation, padding }) {
  const along = (axis, size, steps) => {
    const first = -padding[axis][0], padded = size + padding[axis][1]
    const reach = first + (steps - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
    return { size, first, padded, end: Math.max(padded, reach) }
  }
  return [along(0, input.length, output.length), along(1, input[0].length, output[0].length)]
}

// For each input cell, as "row,column", the output cells that read it.
function readersOf({ cells }) {
  const readers = {}
  cells.forEach(({ terms }, n) => terms.forEach(([row, column]) => (readers[`${row},${column}`] ??= []).push(n)))
  return readers
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
  if (stage.inks) draw(stage) // at once: a resized canvas is empty
}

// The height from the top of the canvas to the end of the window, wherever the page is scrolled to.
function roomFor(canvas) {
  let top = canvas.getBoundingClientRect().top, below = 0
  for (let node = canvas.getRootNode().host ?? canvas; node; node = node.parentElement) {
    top += node.scrollTop
    below += parseFloat(getComputedStyle(node).paddingBottom)
  }
  return Math.max(240, innerHeight - top - below)
}

// Stands the output beside or below the input, whichever gives the larger cells.
function arrange({ area: [rows, columns], data: { output: { length: highOut } }, columns: wideOut }, width, room) {
  const high = rows.end - rows.first, wide = columns.end - columns.first, across = width - 2 * MARGIN
  const tall = (room - CAPTION - 2 * MARGIN) / Math.max(high, highOut)
  const beside = Math.min((across - GAP) / (wide + wideOut), (across - GAP - NARROWEST) / wide, tall)
  const below = Math.min(across / Math.max(wide, wideOut), (room - 2 * CAPTION - 5 * MARGIN) / (high + highOut))
  const cell = Math.max(3, Math.min(LARGEST_CELL, Math.floor(Math.max(beside, below))))
  const deep = high === 1 && highOut === 1 ? Math.max(cell, SIGNAL_HEIGHT) : cell // the cells of a signal stand upright
  const top = CAPTION + MARGIN, bottom = top + high * deep
  const input = { x: MARGIN - columns.first * cell, y: top - rows.first * deep }
  const output = { x: MARGIN + Math.max(NARROWEST, wide * cell) + GAP, y: top }
  if (below > beside) Object.assign(output, { x: MARGIN, y: bottom + CAPTION + 3 * MARGIN })
  return { cell, deep, input, output, height: Math.max(bottom, output.y + highOut * deep) + MARGIN }
}

// Keeps room for the longest arithmetic of this stage, so that nothing jumps from cell to cell.
function reserveArithmetic(stage, width) {
  const { arith, data } = stage, reserved = `${data.id} ${width}`
  if (stage.reserved === reserved) return
  const lengths = data.cells.map((cell, n) => [equation(data, cell)[1].join("   ").length, n])
  const longest = lengths.sort(([a], [b]) => b - a).slice(0, 5) // the very longest need not break into most lines
  const heightOf = ([, n]) => { writeArithmetic(stage, n); return arith.offsetHeight }
  const tallest = () => Math.max(...longest.map(heightOf))
  Object.assign(arith, { className: "", style: "", textContent: "one line" })
  if (arith.offsetHeight < tallest()) arith.className = "long"
  arith.style.minHeight = `${tallest()}px`
  Object.assign(stage, { reserved, written: null })
}
