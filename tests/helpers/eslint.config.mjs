// What eslint checks in the script of the report's page, all parts of it together.
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";

const js = createRequire(realpathSync(process.argv[1]))("@eslint/js"); // of the eslint that runs
const KNOWN = [
  ...["document", "navigator", "performance", "innerWidth", "addEventListener", "setTimeout"],
  ...["getComputedStyle", "getSelection", "matchMedia", "requestAnimationFrame", "IntersectionObserver"],
  "Plotly",
];

export default [
  js.configs.recommended,
  {
    languageOptions: {
      sourceType: "script",
      globals: Object.fromEntries(KNOWN.map((name) => [name, "readonly"])),
    },
    rules: { eqeqeq: "error", "no-shadow": "error", "no-var": "error", "prefer-const": "error" },
  },
];
