// An object store in a folder, for as long as a test runs: node server.mjs <folder> <bucket>. Says its port when it listens.
import S3rver from "s3rver";

const [directory, name] = process.argv.slice(2);
const store = new S3rver({ address: "127.0.0.1", port: 0, silent: true, directory, configureBuckets: [{ name, configs: [] }] });
const { port } = await store.run();
console.log(port);
