// SPDX-License-Identifier: MIT
// Makes dist/ from src/: the files that are built into shmbus-gateway. The same on every machine.
import { readFile, writeFile, mkdir, copyFile, rm } from "node:fs/promises";
import { build } from "esbuild";

const here = (name) => new URL(name, import.meta.url).pathname;
const out = process.argv[2] ?? here("dist");

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
	absWorkingDir: here("."),
	entryPoints: { app: "src/main.js" },
	outdir: out,
	bundle: true,
	format: "iife",
	target: ["chrome123", "firefox120", "safari17.5"],
	minify: true,
	charset: "utf8",
	legalComments: "none", // all of them are in licenses.txt
});
await copyFile(here("src/index.html"), `${out}/index.html`);

const licence = await readFile(here("node_modules/uplot/LICENSE"), "utf8");
const { version } = JSON.parse(await readFile(here("node_modules/uplot/package.json"), "utf8"));
await writeFile(`${out}/licenses.txt`, `\
This page is part of shmbus and under the MIT licence, as shmbus is. It contains:

uPlot ${version}

${licence.replaceAll("\r\n", "\n").trim()}
`);
