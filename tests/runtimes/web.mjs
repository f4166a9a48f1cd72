// Runs ONNX files in onnxruntime-web: `node web.mjs jobs.json answers.json`, each job a file, its batches and how
// often each is run; an answer has the outputs of every batch, and the milliseconds of its fastest run.
import { readFile, writeFile } from "node:fs/promises";
import * as ort from "onnxruntime-web/wasm";

const arrays = { int32: Int32Array, float32: Float32Array };

async function answer({ path, batches, repeat }) {
  const session = await ort.InferenceSession.create(await readFile(path), { executionProviders: ["wasm"] });
  const outputs = [], milliseconds = [];
  for (const batch of batches) {
    const feeds = {};
    for (const { name, dtype, dims, data } of batch) {
      feeds[name] = new ort.Tensor(dtype, arrays[dtype].from(data), dims);
    }
    const times = [];
    let results;
    for (let run = 0; run < repeat; run++) {
      const begin = performance.now();
      results = await session.run(feeds);
      times.push(performance.now() - begin);
    }
    milliseconds.push(Math.min(...times));
    outputs.push(session.outputNames.map((name) => ({ dims: results[name].dims, data: [...results[name].data] })));
  }
  return { outputs, milliseconds, version: ort.env.versions.web };
}

ort.env.wasm.numThreads = 1;
const answers = [];
for (const job of JSON.parse(await readFile(process.argv[2]))) {
  answers.push(await answer(job).catch((error) => ({ error: String(error) })));
}
await writeFile(process.argv[3], JSON.stringify(answers));
