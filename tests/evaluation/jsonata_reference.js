// Evaluates expressions by the reference implementation: {expression, events} on stdin, a list of results on stdout.
const jsonata = require("jsonata");

const evaluated = async ({ expression, events }) => {
  const parsed = jsonata(expression);
  const results = [];
  for (const input of events) results.push(await parsed.evaluate(undefined, { states: { input } }));
  return results;
};

let text = "";
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", async () => process.stdout.write(JSON.stringify(await evaluated(JSON.parse(text)))));
