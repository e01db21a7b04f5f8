#!/usr/bin/env node
"use strict";
if (Number.parseInt(process.versions.node, 10) < 20) {
  process.stderr.write(`master-agent needs Node.js 20 or newer; this is ${process.version}.\n`);
  process.exit(1);
}
require("../dist/cli.cjs").main(process.argv.slice(2));
