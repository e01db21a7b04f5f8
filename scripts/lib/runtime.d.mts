// The types of what the tests take from runtime.mjs.
export function runtimeFiles(platform: string): string[];
