// Reads lines of JSON {topic, message} and answers each with the bytes that the npm package sparkplug-payload makes of it.
"use strict";

const readline = require("node:readline");
const { get } = require("sparkplug-payload");

const codec = get("spBv1.0");

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { topic, message } = JSON.parse(line);
  const payload = Buffer.from(codec.encodePayload(message)).toString("base64");
  process.stdout.write(JSON.stringify({ topic, payload }) + "\n");
});
