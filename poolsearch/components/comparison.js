// Grids of numbers side by side, the cells that differ marked. No pooling is computed here.
//
// data: grids   [{ title, rule, values, refused, differs }, ...]: values are rows of numbers, or null where `refused`
//               says why there are none; rule is a sentence; differs holds the [row, column] of marked cells
//       range   [lowest, highest], the grey scale of all grids
//       id      changes whenever anything here changes

const LARGEST = 56, SMALLEST = 26, NARROWEST = 220, BETWEEN = 32 // px: cells, what a sentence needs, between two grids
const MARK = 3 // px of the ring around a cell that differs
const ORIGIN = { x: 0, y: 0 }

const views = new WeakMap() // by the element that Streamlit mounts into

// Streamlit calls this again for new data and for a new theme, and the cleanup once, when the component goes.
export default function ({ data, parentElement: root }) {
  const view = views.get(root) ?? mount(root)
  view.inks = readInks(view.box)
  if (view.data?.id !== data.id) load(view, data)
  fit(view)
  requestDraw(view)
  return () => unmount(root)
}

function mount(root) {
  const view = { box: root.querySelector(".comparison"), touched: null }
  view.refit = () => { fit(view); requestDraw(view) }
  view.observer = new ResizeObserver(view.refit)
  view.observer.observe(view.box)
  document.fonts.ready.then(() => requestDraw(view))
  views.set(root, view)
  return view
}

function unmount(root) {
  const view = views.get(root)
  cancelAnimationFrame(view?.frame)
  view?.observer.disconnect()
  views.delete(root)
}

function load(view, data) {
  Object.assign(view, { data, touched: null, fitted: null, canvases: [] })
  view.box.replaceChildren(...data.grids.map((grid) => figure(view, grid)))
}

// The title, the grid or why there is none, and the rule.
function figure(view, grid) {
  const { title, rule, values, refused } = grid, element = make("figure")
  const body = values ? make("canvas") : make("p", refused, "refused")
  if (values) prepare(view, body, grid)
  body.dataset.title = title
  element.append(make("figcaption", title), body, make("p", rule))
  return element
}

function make(name, text = "", className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className })
}

function prepare(view, canvas, grid) {
  const { title, values, differs } = grid, words = ["no cell differs", "1 cell differs"][differs.length]
  canvas.dataset.differs = differs.length
  canvas.setAttribute("role", "img")
  const size = `${values.length} × ${values[0].length}`
  canvas.setAttribute("aria-label", `${title}: ${size}, ${words ?? `${differs.length} cells differ`}`)
  const cellAt = (px) => Math.floor(px / view.layout.cell)
  canvas.onpointermove = (event) => pointAt(view, [cellAt(event.offsetY), cellAt(event.offsetX)])
  canvas.onpointerleave = () => pointAt(view, null)
  view.canvases.push({ canvas, grid })
}

function pointAt(view, touched) {
  if (String(touched) === String(view.touched)) return
  view.touched = touched
  requestDraw(view)
}

// --- sizes

// As many grids stand side by side as have legible cells and room for their sentence; cells are equal in all of them.
function fit(view) {
  const { box, data, canvases } = view, width = box.clientWidth, ratio = devicePixelRatio
  if (!data || !width || view.fitted === `${width} ${ratio}`) return // 0 on a hidden tab; the observer calls again
  const wide = Math.max(1, ...canvases.map(({ grid }) => grid.values[0].length))
  const room = (count) => (width - (count - 1) * BETWEEN) / count, least = Math.max(NARROWEST, wide * SMALLEST)
  let count = data.grids.length
  while (count > 1 && room(count) < least) count--
  const cell = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(room(count) / wide)))
  const column = Math.min(room(count), Math.max(wide * cell, 1.5 * NARROWEST))
  box.style.gridTemplateColumns = `repeat(${count}, ${column}px)`
  Object.assign(view, { fitted: `${width} ${ratio}`, layout: { cell, deep: cell, ratio } })
  for (const { canvas, grid: { values } } of canvases) {
    const [across, down] = [values[0].length * cell, values.length * cell]
    Object.assign(canvas.style, { width: `${across}px`, height: `${down}px` })
    Object.assign(canvas, { width: across * ratio, height: down * ratio })
  }
}

// --- drawing

// One frame at most is under way; an idle view asks for none.
function requestDraw(view) {
  if (!view.frame && view.layout) view.frame = requestAnimationFrame(() => draw(view))
}

function draw(view) {
  view.frame = 0
  for (const { canvas, grid } of view.canvases) drawGrid(canvas.getContext("2d"), view, grid)
}

function drawGrid(pen, view, { values, differs }) {
  const { layout, touched, inks } = view
  pen.setTransform(layout.ratio, 0, 0, layout.ratio, 0, 0)
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height)
  values.forEach((numbers, row) => numbers.forEach((value, column) => {
    const box = boxOf(layout, ORIGIN, row, column)
    drawNumber(pen, view, box, value)
    frame(pen, box)
  }))
  for (const [row, column] of differs) {
    outline(pen, view, ORIGIN, [row, column, 1, 1], inks.window, MARK)
    drawCorner(pen, view, row, column)
  }
  if (touched && values[touched[0]]?.[touched[1]] !== undefined) drawRing(pen, view, ORIGIN, touched)
}

// A filled corner, so that a cell that differs is not told by its colour alone.
function drawCorner(pen, { layout, inks }, row, column) {
  const [x, y, width] = boxOf(layout, ORIGIN, row, column), side = Math.max(12, 0.26 * width)
  pen.fillStyle = css(inks.window)
  pen.beginPath()
  pen.moveTo(x + width - side, y)
  pen.lineTo(x + width, y)
  pen.lineTo(x + width, y + side)
  pen.fill()
}
