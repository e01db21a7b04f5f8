// All measures, in the order in which they run.
//
// A measure has a `name`, a `title`, `metrics` (label, unit, and the target: `least` or `most`), and `run(context)`, which answers
// with a number for each metric. `flags` are given to Node; `slow` measures may take 20 minutes, others 3 or
// their `minutes`; `runs` is the most runs that say something. It runs in a process of its
// own; the context gives
//   load()        the package
//   directory     where that is
//   folder        an empty folder
//   helper(name)  starts a second process that runs `help(context)` of the measure of that name; answers with what stops it
//   note(object)  something to keep with the results
import add from "./add.mjs";
import backlog from "./backlog.mjs";
import cycles from "./cycles.mjs";
import imports from "./import.mjs";
import latency from "./latency.mjs";
import memoryEmbed from "./memory-embed.mjs";
import memoryMillion from "./memory-million.mjs";
import memoryQuality from "./memory-quality.mjs";
import memorySearch from "./memory-search.mjs";
import memorySize from "./memory-size.mjs";
import processing from "./process.mjs";
import still from "./still.mjs";

export const measures = [
  ...processing,
  ...add,
  ...latency,
  ...backlog,
  ...imports,
  ...still,
  ...cycles,
  ...memoryEmbed,
  ...memoryQuality,
  ...memorySearch,
  ...memoryMillion,
  ...memorySize,
];
