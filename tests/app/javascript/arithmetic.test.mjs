import assert from "node:assert/strict"
import test from "node:test"
import { parts, plain } from "./parts.mjs"

const { arithmetic, number, short } = parts("drawing.js", "arithmetic.js")
const TERMS = [[0, 0, 1, 0.25], [0, 1, 2, 0.25], [1, 0, -3, 0.25], [1, 1, 4, 0.25]] // row, column, value, weight

// The arithmetic of one cell of a stage, as a text.
function said(form, value, { terms = TERMS, divisor = 1, winner = null, known = true, ...rest } = {}) {
  const data = { name: "max", number: 2, output: [[value]], cells: [{ form, terms, divisor, winner }], ...rest }
  return plain(arithmetic({ data, columns: 1 }, 0, known)).map(([text]) => text).join("")
}

test("numbers have two digits and a real minus; what rounds to nothing has no sign", () => {
  assert.deepEqual([number(0.125), number(-2), number(-0.001), number(null)], ["0.13", "−2.00", "0.00", "–"])
  assert.deepEqual([short(0.0625), short(9), short(-1.5)], ["0.0625", "9", "−1.5"])
})

test("each form of a cell is written as its formula", () => {
  assert.equal(said("pick", 4), "max( 1.00, 2.00, −3.00, 4.00 ) = 4.00")
  assert.equal(said("mean", 1, { divisor: 4 }), "( 1.00 + 2.00 + (−3.00) + 4.00 ) ÷ 4 = 1.00")
  assert.equal(said("root", 5.48), "( 1.00² + 2.00² + (−3.00)² + 4.00² )^½ = 5.48")
  assert.equal(said("copy", 1, { terms: TERMS.slice(0, 1) }), "input[1, 1] = 1.00")
  assert.equal(said("weighted", 1), "0.25 · 1.00 + 0.25 · 2.00 + 0.25 · (−3.00) + 0.25 · 4.00 = 1.00")
  assert.match(said("logexp", 1, { divisor: 4, number: 2 }), /^ln\( \( e\^2\.00 \+ /)
  assert.match(said("deviation", 1, { divisor: 4 }), /^√\( \( \(1\.00 − 1\.00\)²/)
})

test("a number that is still to be guessed is a question mark, and its winner is not marked", () => {
  assert.match(said("pick", 4, { known: false, winner: 3 }), / = \?$/)
  const data = { name: "max", number: null, output: [[4]], cells: [{ form: "pick", terms: TERMS, divisor: 1, winner: 3 }] }
  const marked = (known) => plain(arithmetic({ data, columns: 1 }, 0, known)).filter(([, name]) => name === "winner")
  assert.deepEqual([marked(true).length, marked(false).length], [1, 0])
})

test("of a hundred terms twelve are written, the heaviest and the winner, and how many are left", () => {
  const terms = Array.from({ length: 100 }, (_, n) => [0, n, n, n === 50 ? 0 : 0.01])
  const text = said("weighted", 49.5, { terms, winner: 50 })
  assert.match(text, /… 88 more/)
  assert.match(text, /0 · 50\.00/)
})

test("a window that reads nothing is written as nothing", () => assert.equal(said("pick", 0, { terms: [] }), "0 = 0.00"))
