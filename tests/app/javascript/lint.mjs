// Lints the scripts of the pages as the browser gets them: several files as one, in which every name must be defined.
import { readFileSync } from "node:fs"
import js from "@eslint/js"
import { ESLint } from "eslint"
import globals from "globals"

const FOLDER = new URL("../../../poolsearch/app/components/", import.meta.url)
const STAGE = ["drawing.js", "arithmetic.js", "scene.js", "layout.js", "stepper.js"]
const SCRIPTS = [STAGE, ["drawing.js", "comparison.js"], ["history.js"], ["to_top.js"]]

const eslint = (rules) => new ESLint({
  overrideConfigFile: true,
  overrideConfig: [js.configs.recommended, { languageOptions: { globals: globals.browser }, rules }],
})

let failed = false
for (const names of SCRIPTS) {
  const text = names.map((name) => readFileSync(new URL(name, FOLDER), "utf8")).join("")
  const shared = names.includes("comparison.js") // it takes only some of what is drawn with
  const results = await eslint(shared ? { "no-unused-vars": "off" } : {}).lintText(text)
  for (const { line, message, ruleId } of results.flatMap(({ messages }) => messages)) {
    failed = true
    console.error(`${names.join(" + ")}, line ${line} of them together: ${message} (${ruleId})`)
  }
}
process.exit(failed ? 1 : 0)
