import assert from "node:assert/strict"
import test from "node:test"
import { parts, plain } from "./parts.mjs"

const { inputArea, mix, portion, textOn, greyOf } = parts("drawing.js", "arithmetic.js", "layout.js")

test("the area of the input holds its padding, and what a window reaches beyond it", () => {
  const input = [[1, 2], [3, 4]], padding = [[1, 0], [0, 2]]
  const [rows, columns] = inputArea({ input, outside: [], padding, cells: [{ window: [-1, 0, 3, 5] }] })
  assert.deepEqual(plain([rows.first, rows.end, columns.first, columns.end]), [-1, 2, 0, 5])
  assert.deepEqual([rows.padded(-1), rows.padded(-2), columns.padded(3), columns.padded(4)], [true, false, true, false])
})

test("a value is a grey between the ends of its range, and what lies outside is an end", () => {
  assert.deepEqual(plain([greyOf(0, [0, 1]), greyOf(1, [0, 1]), greyOf(9, [0, 1])]), [[0, 0, 0], [255, 255, 255], [255, 255, 255]])
  assert.equal(portion(5, [5, 5]), 0)
  assert.deepEqual(plain(mix([0, 0, 0], [255, 100, 0], 0.5)), [128, 50, 0])
})

test("text is dark on light cells and light on dark ones", () => {
  assert.deepEqual([textOn([255, 255, 255]), textOn([0, 0, 0])], ["black", "white"])
})
