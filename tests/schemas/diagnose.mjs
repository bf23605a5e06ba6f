// What AsyncAPI's own parser makes of a document: `node diagnose.mjs DOCUMENT NODE_MODULES`.

import { createRequire } from "node:module";

const [document, modules] = process.argv.slice(2);
const { Parser, fromFile } = createRequire(`${modules}/`)("@asyncapi/parser");
const HINTS = ["asyncapi-latest-version"]; // we write 3.0, which every tool reads

const { document: parsed, diagnostics } = await fromFile(new Parser(), document).parse();
const complaints = diagnostics.filter(({ code }) => !HINTS.includes(code));
const messages = parsed ? parsed.components().messages().all().map((message) => message.id()) : [];
console.log(JSON.stringify({ complaints, messages }));
