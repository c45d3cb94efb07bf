// Scrolls the page to its top, once for each time that it is mounted.

const scrolled = new WeakSet() // of the elements that Streamlit mounted into

export default function ({ parentElement: root }) {
  if (scrolled.has(root)) return
  scrolled.add(root)
  document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0)
}
