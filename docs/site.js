// An exercise whose answer is a number, answered as mnistlib.questions.check does.
function verdict(question, answer) {
  if (Number.isNaN(answer)) return "A number goes here.";
  if (answer < question.at_least) return "Not yet. " + question.below;
  if (answer > question.at_most) return "Not yet. " + question.above;
  for (const { value, within = 0, text } of question.mistakes ?? [])
    if (Math.abs(answer - value) <= within) return "Not yet. " + text;
  return "Right. " + question.between;
}

for (const form of document.querySelectorAll("form.check"))
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const written = form.querySelector("input").value.trim();
    // As people write numbers: 1,234 or 1 234, also with a per cent sign.
    const answer = written ? Number(written.replace(/[,\s]|%$/g, "")) : NaN;
    form.querySelector("output").textContent = verdict(JSON.parse(form.dataset.question), answer);
  });
