// Spells out where the number of a cell comes from, and in the backward view where its gradient goes.

const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹", ROOTS = { 2: "½", 3: "⅓", 4: "¼" }
const LONGEST = 240, OF_MORE = 12 // characters: about three lines; of more than that so many terms are written

const guarded = (text) => (text.startsWith("−") ? `(${text})` : text)
const sum = (numbers) => numbers.reduce((total, value) => total + value, 0)

// What opens the arithmetic of a cell, how a term is written, what stands between two, what closes it.
function equation({ name, number: exponent }, { form, terms, divisor }) {
  const over = divisor === 1 ? "" : ` ) ÷ ${short(divisor)}`, open = over && "( "
  const plain = ([, , value]) => number(value), safe = (term) => guarded(plain(term))
  const mean = guarded(number(sum(terms.map(([, , value]) => value)) / terms.length))
  const sharpened = ([, , value]) => `e^${number(exponent * value)}`
  const root = exponent === 1 ? "" : `^${ROOTS[exponent] ?? `(1/${short(exponent ?? 1)})`}`
  return {
    pick: [`${name}( `, plain, ", ", " ) = "],
    copy: ["", ([row, column]) => `input${at(row, column)}`, ", ", " = "],
    mean: ["( ", safe, " + ", `${over || " ) ÷ 1"} = `],
    weighted: [open, (term) => `${guarded(short(term[3]))} · ${safe(term)}`, " + ", `${over} = `],
    root: [`${open}( `, (term) => power(plain(term), exponent), " + ", `${over} )${root} = `],
    logexp: [`ln( ${open}`, sharpened, " + ", `${over} ) ÷ ${short(exponent ?? 1)} = `],
    deviation: [`√( ${open}`, (term) => `(${plain(term)} − ${mean})²`, " + ", `${over} ) = `],
  }[form]
}

const at = (row, column) => `[${row + 1}, ${column + 1}]` // counted from 1, as in the label

function power(text, exponent) {
  if (exponent === 1) return `|${text}|`
  return (exponent === 2 ? guarded(text) : `|${text}|`) + (POWERS[exponent] ?? `^${short(exponent)}`)
}

// The same for the gradient of an output cell: its terms are the pixels that get a share.
function sharing(stage, n) {
  const terms = (stage.data.cells[n].gradient ?? []).map(([row, column, share]) => [row, column, share, share])
  const only = terms.length === 1, where = ([row, column]) => (only ? ` at ${at(row, column)}` : "")
  const written = (term) => guarded(number(term[2])) + where(term)
  const parts = [`∂ output${at(...place(stage, n))} / ∂ input: 1 → `, written, " + ", ", sum "]
  return { terms, winner: only ? 0 : null, parts, result: number(sum(terms.map(([, , share]) => share))) }
}

// The same for the gradient of all outputs together: how many pixels get any.
function summing({ data: { input }, summed }) {
  const shares = Object.values(summed), pixels = input.length * input[0].length
  const got = shares.filter((share) => Math.abs(share) >= 0.005).length // what is written as 0 is none
  const words = `∂ Σ outputs / ∂ input: ${got} of ${pixels} pixels get a share, ${pixels - got} none, sum `
  return [[words, ""], [number(sum(shares)), "result"]]
}

function forward({ data, columns }, n, known) {
  const { terms, winner } = data.cells[n], value = data.output[Math.floor(n / columns)][n % columns]
  const parts = terms.length ? equation(data, data.cells[n]) : ["", String, "", " = "]
  return { terms, winner: known ? winner : null, parts, result: known ? number(value) : "?" }
}

// Of too many terms the heaviest, and the winner in any case, in reading order.
function heaviest(terms, winner) {
  const weight = (i) => (i === winner ? Infinity : Math.abs(terms[i][3] ?? 0))
  return [...terms.keys()].sort((a, b) => weight(b) - weight(a)).slice(0, OF_MORE).sort((a, b) => a - b)
}

// The arithmetic as pieces of text, [text, class].
function arithmetic(stage, n, known) {
  if (stage.data.sum) return summing(stage)
  const { terms, winner, parts: [open, written, join, close], result } =
    stage.data.backward ? sharing(stage, n) : forward(stage, n, known)
  const texts = terms.map(written), isLong = texts.join(join).length > LONGEST
  const shown = isLong ? heaviest(terms, winner) : [...terms.keys()], left = terms.length - shown.length
  const pieces = shown.map((i) => [texts[i], i === winner ? "winner" : "term"])
  if (left) pieces.push([`… ${left} more`, "term"])
  const joined = pieces.length ? pieces.flatMap((piece, i) => (i ? [[join, ""], piece] : [piece])) : [["0", "term"]]
  return [[open, ""], ...joined, [close, ""], [result, "result"]]
}

function writeArithmetic(stage, n, known) {
  stage.arith.replaceChildren(...arithmetic(stage, n, known).map(([text, name]) => (name ? span(text, name) : text)))
}

function span(text, name) {
  const element = document.createElement("span")
  element.append(text)
  element.className = name
  return element
}
