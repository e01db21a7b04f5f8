"use strict";

// The one copy of the state: index.mjs passes on what is loaded here. Not in one expression with its export: for an import Node would
// read the whole bundle for names that index.mjs has already.
const library = require("./dist/index.cjs");

module.exports = library;
