// The types of what the tests take from build.mjs.
export function publishableAddon(): Promise<string>;
