// The life of a stage: mounting, stepping, pointing, predicting. scene.js draws it, layout.js says how large.
// No pooling is computed here: every number comes from Python.
//
// data: input, output      grids of numbers; a signal is one row each
//       outside            [[row, column, value], ...], the numbers of a border outside the map
//       padding            [[top, bottom], [left, right]], cells drawn around the input
//       kernel, dilation   [rows, columns], which cells of a window are read
//       name               the function in the arithmetic of a pick: max, median
//       number             the exponent of a root, the sharpness of a logexp
//       range              [lowest, highest], the grey scale of both grids
//       captions           [above the input, above the output]
//       backward           whether the input shows where the gradient of an output goes
//       sum                whether that is the gradient of all outputs together; only in the backward view
//       predict            whether outputs are hidden until they are asked for; not in the backward view
//       id                 changes whenever anything here changes
//       cell               [row, column] of the output that opens, from 0: the one that the link or a lesson names, or null
//       cells              one for each number of the output, in reading order:
//         window           [row, column, rows, columns] on the input; may start and end outside
//         form             how it is written: pick | mean | weighted | root | copy | logexp | deviation
//         terms            [[row, column, value, weight], ...]; a pixel may come several times, and there may be none
//         divisor          by which the terms are divided
//         winner           index of the term that was picked, or null
//         gradient         [[row, column, ∂ output / ∂ input], ...] where it is not zero, or null

const QUIET = 200 // ms without a step before the address is written: browsers refuse to write it more than 100 times in 30 s
const stages = new WeakMap() // by the element that Streamlit mounts into

// Streamlit calls this again for new data and for a new theme, and the cleanup once, when the component goes.
export default function ({ data, parentElement: root }) {
  const stage = stages.get(root) ?? mount(root)
  stage.inks = readInks(stage.box)
  if (stage.data?.id !== data.id) load(stage, data)
  requestDraw(stage)
  return () => unmount(root)
}

function mount(root) {
  const part = (name) => root.querySelector(name)
  const stage = {
    box: part(".stage"), canvas: part("canvas"), arith: part("#arith"), lab: part("#lab"), play: part("#play"),
    next: part("#next"), show: part("#show"), scrub: part("#scrub"), speed: part("#speed"),
    n: 0, hover: null, touched: null, playing: false, glide: null,
  }
  part("#prev").onclick = () => go(stage, stage.n - 1)
  stage.next.onclick = () => go(stage, stage.n + 1)
  stage.show.onclick = () => reveal(stage)
  stage.play.onclick = () => setPlaying(stage, !stage.playing)
  stage.scrub.oninput = () => go(stage, Number(stage.scrub.value))
  stage.box.onkeydown = (event) => onKey(stage, event)
  stage.canvas.onpointermove = (event) => onPointer(stage, event)
  stage.canvas.onpointerleave = () => pointAt(stage, null, null)
  stage.canvas.onclick = (event) => onClick(stage, event)
  stage.refit = () => fit(stage)
  stage.observer = new ResizeObserver(stage.refit)
  for (const element of [stage.box, ...around(stage.box)]) stage.observer.observe(element) // headings above may shrink
  addEventListener("resize", stage.refit) // the observer doesn't see the height of the window
  document.fonts.ready.then(() => { fit(stage); requestDraw(stage) }) // the page's headings may have grown, too
  stages.set(root, stage)
  return stage
}

function unmount(root) {
  const stage = stages.get(root)
  clearTimeout(stage?.timer)
  clearTimeout(stage?.writing)
  cancelAnimationFrame(stage?.frame)
  removeEventListener("resize", stage?.refit)
  stage?.observer.disconnect()
  stages.delete(root)
}

function load(stage, data) {
  const [row, column] = data.cell ?? (stage.data ? place(stage, stage.n) : [0, 0])
  const rows = data.output.length, columns = data.output[0].length
  Object.assign(stage, { data, columns, count: rows * columns, hover: null, touched: null, glide: null })
  stage.n = Math.min(row, rows - 1) * columns + Math.min(column, columns - 1) // stay near the cell that was open
  stage.revealed = new Set()
  stage.area = inputArea(data)
  stage.outside = byPlace(data.outside, 2)
  stage.readers = readersOf(data)
  const shares = data.cells.flatMap(({ gradient }) => gradient ?? [])
  stage.summed = byPlace(shares, 2)
  const drawn = data.sum ? Object.values(stage.summed) : shares.map(([, , share]) => share)
  stage.steepest = Math.max(...drawn.map(Math.abs))
  stage.box.querySelector(".bar").style.visibility = data.sum ? "hidden" : "" // there is nothing to step through
  stage.scrub.max = stage.count - 1
  const longest = label(stage, stage.count - 1, stage.count).length // whatever it says, the scrub bar must not breathe
  stage.lab.style.minWidth = `${0.85 * longest}ch` // a letter takes less than a digit
  if (predicts(stage)) stage.next.after(stage.show)
  else stage.show.remove()
  fit(stage)
  keepCell(stage) // it may have gone with the output's size
}

// For each input cell, as "row,column", the output cells that read it or send it gradient: a Map of n to the share.
function readersOf({ cells, backward }) {
  const readers = {}
  cells.forEach(({ terms, gradient }, n) => (backward ? gradient ?? [] : terms).forEach(([row, column, share]) => {
    (readers[`${row},${column}`] ??= new Map()).set(n, share)
  }))
  return readers
}

// Keep the open cell in the address, so that a copied link opens it; the first one is left out. No server is asked.
function keepCell(stage) {
  clearTimeout(stage.writing)
  stage.writing = setTimeout(writeCell, QUIET, stage)
}

function writeCell(stage) {
  if (!stage.box.isConnected) return
  const there = new URLSearchParams(location.search), cell = place(stage, stage.n).map((n) => n + 1).join("-")
  if (stage.n) there.set("cell", cell)
  else there.delete("cell")
  const query = `${there}`
  history.replaceState(history.state, "", location.pathname + (query && `?${query}`))
}

// One frame at most is under way; an idle stage asks for none.
function requestDraw(stage) {
  if (!stage.frame && stage.layout) stage.frame = requestAnimationFrame(() => draw(stage))
}

// --- stepping

const place = ({ columns }, n) => [Math.floor(n / columns), n % columns]
const interval = ({ speed }) => 1000 / speed.value // ms; the slider counts cells a second
const course = ({ data, count }) => (data.backward ? [count - 1, 0, -1] : [0, count - 1, 1]) // from, to, step

// The window as [row, column, rows, columns] of the input; between those of two cells while it glides.
function windowNow(stage) {
  const { data, glide } = stage, goal = data.cells[stage.hover ?? stage.n].window
  if (!glide) return goal
  const left = Math.max(0, 1 - (performance.now() - glide.start) / glide.ms) // of the time, 1 to 0
  if (!left) stage.glide = null
  return goal.map((end, i) => end + (glide.from[i] - end) * left ** 3)
}

function label(stage, n, revealed = stage.revealed.size) {
  if (stage.data.sum) return `All ${stage.count} outputs`
  const [row, column] = place(stage, n), shown = predicts(stage) ? `, ${revealed} shown` : ""
  return `Cell ${n + 1} of ${stage.count}: row ${row + 1}, column ${column + 1}${shown}`
}

function go(stage, n) {
  const from = windowNow(stage)
  setPlaying(stage, false)
  moveTo(stage, n, from)
}

function moveTo(stage, n, from = windowNow(stage)) {
  const still = stage.hover !== null || matchMedia("(prefers-reduced-motion: reduce)").matches
  stage.n = Math.max(0, Math.min(stage.count - 1, n))
  keepCell(stage)
  stage.glide = still ? null : { from, start: performance.now(), ms: Math.min(220, interval(stage) / 2) }
  requestDraw(stage)
}

function setPlaying(stage, on) {
  const [first, last] = course(stage)
  clearTimeout(stage.timer)
  Object.assign(stage, { playing: on, hover: null, touched: null }) // what was asked for last is what shows
  if (on && stage.n === last) moveTo(stage, first)
  if (on) stage.timer = setTimeout(playNext, interval(stage), stage)
  stage.play.textContent = on ? "Pause" : "Play"
  stage.play.setAttribute("aria-label", on ? "Pause" : "Play")
  stage.arith.setAttribute("aria-live", on ? "off" : "polite") // a screen reader can't keep up with playing
  requestDraw(stage)
}

// A cell that is left is revealed; so the last one of a prediction takes a step of its own.
function playNext(stage) {
  const [, last, step] = course(stage), left = stage.n
  stage.revealed.add(left)
  if (left !== last) moveTo(stage, left + step)
  if (left === last || (stage.n === last && !predicts(stage))) setPlaying(stage, false)
  else stage.timer = setTimeout(playNext, interval(stage), stage)
}

// --- predicting

const predicts = ({ data }) => data.predict && !data.backward
const isKnown = (stage, n) => !predicts(stage) || stage.revealed.has(n)

function reveal(stage) {
  if (!predicts(stage)) return
  stage.revealed.add(stage.n)
  stage.hover = null // what was asked for last is what shows
  requestDraw(stage)
}

// --- keys and pointers

function onKey(stage, event) {
  const { n, columns, count } = stage, { key } = event, part = event.target.localName
  if (part === "button" && [" ", "Enter"].includes(key)) return // there the keys have a meaning already
  if (part === "input" && key !== "Enter") return
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -n, End: count - 1 - n }
  const goal = n + steps[key]
  if (key === " ") setPlaying(stage, !stage.playing)
  else if (key === "Enter") reveal(stage)
  else if (goal >= 0 && goal < count) go(stage, goal)
  if (key === " " || key in steps) event.preventDefault() // the page must not scroll
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

// Pins a cell of the output; the one that is pinned is revealed. A finger points nowhere before it taps, so this
// points first.
function onClick(stage, event) {
  onPointer(stage, event)
  const { hover } = stage
  if (hover === null) return
  if (hover === stage.n) reveal(stage)
  go(stage, hover)
}

function pointAt(stage, hover, touched) {
  if (hover === stage.hover && String(touched) === String(stage.touched)) return
  Object.assign(stage, { hover, touched, glide: null })
  stage.canvas.style.cursor = hover === null ? "default" : "pointer"
  requestDraw(stage)
}
