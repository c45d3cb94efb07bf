// One entry in the browser's history for each page: controls change the address of the entry that is there.
//
// Streamlit pushes an entry whenever the server changes the query, some as a page opens; Back then seems to do nothing.
// Loaded before Streamlit's own script, so that it sees the first of them.

{
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history)
  const SWITCHING = 1000 // ms: st.switch_page writes the next page's query first, and changes the path then
  // A run may write the query several times: the address before the first of its writes, when that was, and the last one.
  const none = { url: "", from: -SWITCHING, at: -SWITCHING }
  let written = none
  let acted = 0 // when the visitor last clicked or pressed a key: a link that is clicked after the change is no switch
  for (const act of ["click", "keydown"]) addEventListener(act, () => { acted = performance.now() }, true)

  history.pushState = (state, unused, url) => {
    const to = new URL(url ?? location.href, location.href)
    if (to.pathname === location.pathname) {
      const now = performance.now(), another = acted > written.from || now - written.at >= SWITCHING
      written = another ? { url: location.href, from: now, at: now } : { ...written, at: now }
      replace(state, unused, url)
      return
    }
    const recent = performance.now() - written.at < SWITCHING && acted < written.from
    if (recent && to.search === location.search) replace(history.state, "", written.url)
    written = none
    push(state, unused, url)
  }
}
