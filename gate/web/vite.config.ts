import { defineConfig } from "vite";

// `npm run dev` serves the page with hot reload, and the objects come from a running system.
export default defineConfig({
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8080", ws: true } } },
});
