// Sends the form by script, so that the server's own count of what it has received can be shown meanwhile.
const form = document.querySelector("form");
const bar = document.querySelector("progress");
const told = document.querySelector("[role=status]");
const button = form.querySelector("button");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const random = crypto.getRandomValues(new Uint8Array(16));
  const id = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  button.disabled = true;
  bar.hidden = false;
  bar.value = 0;
  told.textContent = "";
  const sent = fetch(`/files?progress=${id}`, {
    method: "POST",
    body: new FormData(form),
    headers: { Accept: "application/json" },
  });
  follow(id).catch(() => {});
  try {
    const response = await sent;
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail || answer.title);
    location.reload();
  } catch (error) {
    told.textContent = error.message;
    bar.hidden = true;
    button.disabled = false;
  }
});

async function follow(id) {
  const response = await fetch(`/files/${id}/progress`);
  if (!response.ok) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (text + value).split("\n");
    text = lines.pop();
    for (const line of lines) show(JSON.parse(line));
  }
}

// How it ends is told by the answer to the form, which says why and may overtake the last lines.
function show({ state, received, expected }) {
  if (!button.disabled) return;
  if (expected) bar.value = received / expected;
  if (state === "receiving") told.textContent = `${(received / 1e6).toFixed(1)} MB received`;
}
