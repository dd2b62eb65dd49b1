"""The script that finds places in a page which a rule is about. It returns numbers, words and kinds."""

LOOK = r"""(() => {
const money = new RegExp("\\b(pay|buy|purchase|order now|place order|checkout|donate|subscribe)\\b" +
  "|bezahlen|kaufen|bestellen|payer|acheter|comprar|pagar", "i");
const text = e => e.innerText || e.value || e.getAttribute("aria-label") || e.name || "";
const words = e => text(e).trim().slice(0, 60);
const secret = e => e.matches("input[type=password], [autocomplete*=password], [autocomplete=one-time-code]");
const named = e => (e.name || "") + " " + (e.id || "");
const card = e => /^cc-/.test(e.autocomplete || "") || /card.?num|cvc|cvv|iban/i.test(named(e));
const field = e => {
  if (!e.matches("input, textarea")) return null;
  return secret(e) ? "credentials" : card(e) ? "payment" : null;
};
const fields = form => [...form.elements].map(field).filter(Boolean);
const button = e => {
  if (money.test(words(e))) return "payment";
  const submits = e.form && (e.type === "submit" || e.type === "image");
  return submits ? fields(e.form)[0] || "form" : null;
};
const link = e => {
  if (e.hasAttribute("download")) return "download";
  let to;
  try { to = new URL(e.href, location.href) } catch { return null }
  if (/^https?:$/.test(to.protocol) && to.host !== location.host) return "domain";
  return money.test(words(e)) ? "payment" : null;
};
const BUTTONS = "button, input[type=submit], input[type=image], input[type=button]";
const place = e => e.matches("a[href]") ? link(e) : e.matches(BUTTONS) ? button(e) : null;
const found = [];
for (const e of document.querySelectorAll(`a[href], ${BUTTONS}`)) {
  const kind = place(e), box = kind && e.getBoundingClientRect();
  if (box && box.width && box.height && box.bottom > 0 && box.top < innerHeight)
    found.push([kind, words(e), box.left, box.top, box.right, box.bottom]);
}
const at = document.activeElement;
const enter = !at ? null : at.form && at.matches("input") ? fields(at.form)[0] || "form" : place(at);
const dx = screenX + (outerWidth - innerWidth) / 2, dy = screenY + (outerHeight - innerHeight);
const shown = document.visibilityState === "visible", focus = document.hasFocus();
const typed = at ? field(at) : null;
return {found, typed, enter, dx, dy, ratio: devicePixelRatio, focus, shown, host: location.host};
})()"""
