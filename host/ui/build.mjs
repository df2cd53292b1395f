// Writes dist/ from src/: one script, one style sheet, the document and the icon. With --check it writes nothing and
// fails where dist/ is not what it would write.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

async function bundled() {
  const result = await build({
    absWorkingDir: here,
    entryPoints: { app: "src/main.tsx" },
    outdir: "dist",
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    charset: "utf8",
    write: false,
    metafile: true,
  });
  return result.outputFiles.map((file) => [relative(dist, file.path), Buffer.from(file.contents)]);
}

/** Every file that decides what dist/ is, in the order of their names: `host/xtask` makes the same digest without node. */
async function sources() {
  const names = ["build.mjs", "package-lock.json", "package.json"];
  for (const entry of await readdir(join(here, "src"), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) names.push(relative(here, join(entry.parentPath ?? entry.path, entry.name)));
  }
  const hash = createHash("sha256");
  for (const name of names.sort()) {
    const bytes = await readFile(join(here, name));
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

async function licences() {
  const parts = [];
  for (const name of ["preact", "uplot"]) {
    const text = await readFile(join(here, "node_modules", name, "LICENSE"), "utf8");
    parts.push(`${name}\n\n${text.trim()}\n`);
  }
  return Buffer.from(parts.join("\n----\n\n"));
}

const files = new Map([
  ...(await bundled()),
  ["index.html", await readFile(join(here, "src/index.html"))],
  ["icon.svg", await readFile(join(here, "src/icon.svg"))],
  ["LICENCES.txt", await licences()],
  ["sources.sha256", Buffer.from(`${await sources()}\n`)],
]);

if (process.argv.includes("--check")) {
  const stale = [];
  for (const [name, bytes] of files) {
    const there = await readFile(join(dist, name)).catch(() => null);
    if (!there?.equals(bytes)) stale.push(name);
  }
  const known = new Set(files.keys());
  for (const name of await readdir(dist)) if (!known.has(name)) stale.push(name);
  if (stale.length > 0) {
    console.error(`host/ui/dist is not what its sources make: ${stale.join(", ")}; run \`npm run build\` in host/ui`);
    process.exit(1);
  }
} else {
  await mkdir(dist, { recursive: true });
  for (const [name, bytes] of files) await writeFile(join(dist, name), bytes);
  for (const [name, bytes] of files) console.log(`${name}: ${bytes.length} bytes`);
}
