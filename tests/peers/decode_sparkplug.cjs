// Reads lines of JSON {topic, payload: base64} and answers each with what the npm package sparkplug-payload makes of it.
// DATA carries no datatype, and that package wants one: it is taken from the birth of the same alias, as a host does.
"use strict";

const readline = require("node:readline");
const { get } = require("sparkplug-payload");
const { Payload } = require("sparkplug-payload/lib/sparkplugPayloadProto").org.eclipse.tahu.protobuf;

const codec = get("spBv1.0");
const births = new Map();

function typed(bytes) {
  const message = Payload.decode(bytes);
  for (const metric of message.metrics) {
    const known = births.get(String(metric.alias));
    if (!Object.hasOwn(metric, "datatype") && known !== undefined) {
      metric.datatype = known;
    } else if (Object.hasOwn(metric, "datatype") && Object.hasOwn(metric, "alias")) {
      births.set(String(metric.alias), metric.datatype);
    }
  }
  return Payload.encode(message).finish();
}

function plain(key, value) {
  return value && typeof value === "object" && "low" in value && "high" in value && "unsigned" in value
    ? BigInt.asUintN(64, (BigInt(value.high) << 32n) | BigInt(value.low >>> 0)).toString()
    : value;
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { topic, payload } = JSON.parse(line);
  const message = codec.decodePayload(typed(Buffer.from(payload, "base64")));
  process.stdout.write(JSON.stringify({ topic, message }, plain) + "\n");
});
