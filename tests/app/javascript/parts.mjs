// The functions of scripts that Streamlit takes as one file: `parts("drawing.js", "arithmetic.js")` has them by name.
import { readFileSync } from "node:fs"
import vm from "node:vm"

const FOLDER = new URL("../../../poolsearch/app/components/", import.meta.url)

export function parts(...names) {
  const text = names.map((name) => readFileSync(new URL(name, FOLDER), "utf8")).join("\n").replace("export default", "")
  const defined = [...text.matchAll(/^(?:function|const) (\w+)/gm)].map(([, name]) => name)
  return vm.runInNewContext(`${text}\n;({ ${defined.join(", ")} })`)
}

export const plain = (value) => JSON.parse(JSON.stringify(value)) // of this realm, for deepEqual
