"use strict";

// The one copy of the state: index.mjs passes on what is loaded here.
module.exports = require("./dist/index.cjs");
