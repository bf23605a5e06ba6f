// What JavaScript's usual validator says of each case: `node judge.cjs CASES NODE_MODULES`.

const { readFileSync } = require("node:fs");

const [file, modules] = process.argv.slice(2);
const Ajv = require(`${modules}/ajv/dist/2020`);
const formats = require(`${modules}/ajv-formats`);

const { schemas, cases } = JSON.parse(readFileSync(file));
const ajv = formats(new Ajv({ strict: true, allowUnionTypes: true }));
ajv.addVocabulary(["x-personal"]); // an annotation, of which its strict mode wants to hear
const judges = Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, ajv.compile(schema)]));
console.log(JSON.stringify(cases.map(([name, document]) => judges[name](document))));
