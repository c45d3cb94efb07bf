import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import test from "node:test"
import vm from "node:vm"

const SCRIPT = readFileSync(new URL("../../../poolsearch/app/components/history.js", import.meta.url), "utf8")

// A browser as far as the script sees it: its entries, its clock, its listeners.
function browser(first = "http://app/") {
  const entries = [first], heard = {}
  const world = { now: 0 }
  const location = { get href() { return entries.at(-1) }, get pathname() { return new URL(entries.at(-1)).pathname }, get search() { return new URL(entries.at(-1)).search } }
  const history = { state: null, pushState: (_, __, url) => entries.push(new URL(url, location.href).href), replaceState: (_, __, url) => { entries[entries.length - 1] = new URL(url, location.href).href } }
  vm.runInNewContext(SCRIPT, { history, location, URL, performance: { now: () => world.now }, addEventListener: (act, listener) => { heard[act] = listener } })
  return { entries, go: (url) => history.pushState(null, "", url), click: () => heard.click(), at: (ms) => { world.now = ms } }
}

test("a changed setting changes the entry that is there", () => {
  const tab = browser()
  tab.go("/?kernel=3")
  tab.go("/?kernel=5")
  assert.deepEqual(tab.entries, ["http://app/?kernel=5"])
})

test("another page is an entry of its own", () => {
  const tab = browser()
  tab.go("/compare")
  assert.deepEqual(tab.entries, ["http://app/", "http://app/compare"])
})

test("a page that is switched to with its query leaves the entry before as it was", () => {
  const tab = browser("http://app/?kernel=3")
  tab.at(5000)
  tab.click()
  tab.at(5100)
  tab.go("/?a=resnet18") // st.switch_page writes the next page's query first
  tab.at(5200)
  tab.go("/backbone?a=resnet18")
  assert.deepEqual(tab.entries, ["http://app/?kernel=3", "http://app/backbone?a=resnet18"])
})

test("a page that is switched to in several writes of the query leaves the entry before as it was", () => {
  const tab = browser("http://app/?kernel=3&cell=1-2")
  tab.at(5000)
  tab.click()
  tab.at(5100)
  tab.go("/") // its own query goes first
  tab.at(5110)
  tab.go("/?a=resnet18")
  tab.at(5120)
  tab.go("/?a=resnet18&b=vgg11")
  tab.at(5150)
  tab.go("/backbone?a=resnet18&b=vgg11")
  assert.deepEqual(tab.entries, ["http://app/?kernel=3&cell=1-2", "http://app/backbone?a=resnet18&b=vgg11"])
})

test("a setting changed just before a link is clicked stays, however the page is switched to", () => {
  const tab = browser()
  tab.at(5000)
  tab.go("/?kernel=3")
  tab.at(5200)
  tab.click()
  tab.at(5210)
  tab.go("/")
  tab.at(5220)
  tab.go("/?a=resnet18")
  tab.at(5230)
  tab.go("/backbone?a=resnet18")
  assert.deepEqual(tab.entries, ["http://app/?kernel=3", "http://app/backbone?a=resnet18"])
})

test("a link clicked after a changed setting keeps the setting", () => {
  const tab = browser()
  tab.at(5000)
  tab.go("/?kernel=5")
  tab.at(5300)
  tab.click()
  tab.go("/compare?kernel=5")
  assert.deepEqual(tab.entries, ["http://app/?kernel=5", "http://app/compare?kernel=5"])
})
