// Grids of numbers side by side, the cells that differ marked. No pooling is computed here.
//
// data: grids   [{ title, rule, values, refused, differs, input, padding, windows }, ...]: values are rows of numbers,
//               or null where `refused` says why there are none; rule is a sentence; differs holds the [row, column] of
//               marked cells; input is the map with its padding, null where that holds no number; padding is
//               [[top, bottom], [left, right]]; windows are [row, column, rows, columns] on the map, one an output
//       legend  what the mark means
//       range   [lowest, highest], the grey scale of all grids
//       id      changes whenever anything here changes

const LARGEST = 56, SMALLEST = 26, NARROWEST = 220, BETWEEN = 32 // px: cells, what a sentence needs, between two grids
const INPUT = [24, 40] // px: the cells of an input, at least and at most
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
  const marked = data.grids.some(({ differs }) => differs.length)
  view.box.replaceChildren(...data.grids.map((grid) => figure(view, grid)))
  if (marked) view.box.prepend(make("p", data.legend, "legend"))
}

// The title, the padded input and the output or why there is none, and the rule.
function figure(view, grid) {
  const { title, rule, values, refused } = grid, element = make("figure")
  const body = values ? make("canvas") : make("p", refused, "refused"), above = values ? make("canvas") : make("span")
  if (values) prepare(view, body, above, grid)
  body.dataset.title = title
  element.append(make("figcaption", title), above, body, make("p", rule))
  return element
}

function make(name, text = "", className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className })
}

function prepare(view, canvas, above, grid) {
  const { title, values, differs, input, padding } = grid, words = ["no cell differs", "1 cell differs"][differs.length]
  canvas.dataset.differs = differs.length
  canvas.setAttribute("role", "img")
  const size = `${values.length} × ${values[0].length}`
  canvas.setAttribute("aria-label", `${title}: ${size}, ${words ?? `${differs.length} cells differ`}`)
  const around = padding.flat().some(Boolean) ? ` with padding of ${padding.map((ends) => ends.join(":")).join(", ")}` : ""
  above.setAttribute("role", "img")
  above.setAttribute("aria-label", `Input of ${title}${around}: ${input.length} × ${input[0].length}`)
  above.dataset.input = title
  const cellAt = (px) => Math.floor(px / view.layout.cell)
  canvas.onpointermove = (event) => pointAt(view, [cellAt(event.offsetY), cellAt(event.offsetX)])
  canvas.onpointerleave = () => pointAt(view, null)
  view.canvases.push({ canvas, above, grid })
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
  const most = (key) => Math.max(1, ...canvases.map(({ grid }) => grid[key][0].length)), wide = most("values")
  const room = (count) => (width - (count - 1) * BETWEEN) / count
  const least = Math.max(NARROWEST, wide * SMALLEST, Math.min(width, most("input") * INPUT[0]))
  let count = data.grids.length
  while (count > 1 && room(count) < least) count--
  const small = Math.max(INPUT[0], Math.min(INPUT[1], Math.floor(room(count) / most("input"))))
  const cell = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(1.6 * small), Math.floor(room(count) / wide)))
  const column = Math.min(room(count), Math.max(wide * cell, most("input") * small, 1.5 * NARROWEST))
  box.style.gridTemplateColumns = `repeat(${count}, ${column}px)`
  const layout = { cell, deep: cell, ratio }, layoutIn = { cell: small, deep: small, ratio }
  Object.assign(view, { fitted: `${width} ${ratio}`, layout, layoutIn })
  for (const { canvas, above, grid: { values, input } } of canvases) {
    size(canvas, values, layout)
    size(above, input, layoutIn)
  }
}

function size(canvas, rows, { cell, ratio }) {
  const [across, down] = [rows[0].length * cell, rows.length * cell]
  Object.assign(canvas.style, { width: `${across}px`, height: `${down}px` })
  Object.assign(canvas, { width: across * ratio, height: down * ratio })
}

// --- drawing

// One frame at most is under way; an idle view asks for none.
function requestDraw(view) {
  if (!view.frame && view.layout) view.frame = requestAnimationFrame(() => draw(view))
}

function draw(view) {
  view.frame = 0
  for (const { canvas, above, grid } of view.canvases) {
    drawGrid(canvas.getContext("2d"), view, grid)
    drawPadded(above.getContext("2d"), { ...view, layout: view.layoutIn }, grid)
  }
}

// The input with its padding, and the window of the output that is pointed at.
function drawPadded(pen, view, { input, padding, values, windows }) {
  const { layout, touched, inks } = view, [[top, bottom], [left, right]] = padding
  pen.setTransform(layout.ratio, 0, 0, layout.ratio, 0, 0)
  pen.clearRect(0, 0, pen.canvas.width, pen.canvas.height)
  input.forEach((numbers, row) => numbers.forEach((value, column) => {
    const box = boxOf(layout, ORIGIN, row, column)
    const down = row < top || row >= input.length - bottom, across = column < left || column >= numbers.length - right
    if (value === null) {
      fill(pen, box, inks.panel)
      drawHatching(pen, view, box)
    } else drawNumber(pen, view, box, value, { faded: down || across })
    frame(pen, box)
  }))
  const at = touched && values[touched[0]]?.[touched[1]] !== undefined ? touched[0] * values[0].length + touched[1] : -1
  if (!windows[at]) return
  const [row, column, high, wide] = windows[at]
  outline(pen, view, ORIGIN, [row + top, column + left, high, wide], inks.ring, MARK)
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
