// Pieces of the page. Text is text, never HTML.

/** A part that index.html has. */
export function part<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** A new piece with a text in it. */
export function element(name: string, className: string, text: string): HTMLElement {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = visible(text);
  return made;
}

export function button(className: string, text: string, press: () => void): HTMLElement {
  const made = element("button", className, text);
  made.setAttribute("type", "button");
  made.addEventListener("click", press);
  return made;
}

/** Control characters as the pictures of them: who reads sees that something is there. */
function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : "\ufffd";
  });
}
