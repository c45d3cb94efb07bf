// One entry in the browser's history for each page: controls change the address of the entry that is there.
//
// Streamlit pushes an entry whenever the server changes the query, some as a page opens; Back then seems to do nothing.
// Loaded before Streamlit's own script, so that it sees the first of them.

{
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history)
  const SWITCHING = 1000 // ms: st.switch_page writes the next page's query first, and changes the path then
  let last = { url: "", at: -SWITCHING } // the address before the last change of the query alone, and when that was
  let acted = 0 // when the visitor last clicked or pressed a key: a link that is clicked after the change is no switch
  for (const act of ["click", "keydown"]) addEventListener(act, () => { acted = performance.now() }, true)

  history.pushState = (state, unused, url) => {
    const to = new URL(url ?? location.href, location.href)
    if (to.pathname === location.pathname) {
      last = { url: location.href, at: performance.now() }
      replace(state, unused, url)
      return
    }
    const switched = performance.now() - last.at < SWITCHING && acted < last.at && to.search === location.search
    if (switched) replace(history.state, "", last.url)
    last.at = -SWITCHING
    push(state, unused, url)
  }
}
