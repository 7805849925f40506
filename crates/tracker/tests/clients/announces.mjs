// Takes two peers through their life with the client of bittorrent-tracker; every answer must be
// right.
//
// Moves no files. Ends well when all was well.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import Client from 'bittorrent-tracker/client'

const [url] = process.argv.slice(1)
const byWebSocket = url.startsWith('ws:')
const rtcConfig = { iceServers: [] }
const infoHash = randomBytes(20)

function participant (infoHash, port, announce) {
  const client = new Client({ announce, infoHash, peerId: randomBytes(20), port, rtcConfig })
  for (const event of ['error', 'warning']) client.on(event, error => { throw error })
  return client
}

async function counts (client, announce) {
  const update = once(client, 'update')
  announce()
  const [{ complete, incomplete }] = await update
  return { complete, incomplete }
}

async function scraped (client) {
  const scrape = once(client, 'scrape')
  client.scrape()
  const [{ complete, incomplete, downloaded }] = await scrape
  return { complete, incomplete, downloaded }
}

// One process keeps one connection for each URL, and a connection is not offered itself.
const seeder = participant(infoHash, 6881, url)
const leecher = participant(infoHash, 6882, byWebSocket ? `${url}?second` : url)

assert.deepEqual(
  await counts(seeder, () => seeder.start({ left: 0 })),
  { complete: 1, incomplete: 0 }
)

const meeting = Promise.all([
  once(leecher, 'peer'),
  byWebSocket ? once(seeder, 'peer') : null
])
assert.deepEqual(
  await counts(leecher, () => leecher.start({ left: 1000 })),
  { complete: 1, incomplete: 1 }
)
const [[found], finder] = await meeting
if (byWebSocket) {
  const [other] = finder
  assert.deepEqual([found.id, other.id], [seeder.peerId, leecher.peerId])
  const heard = once(other, 'data')
  await Promise.all([once(found, 'connect'), once(other, 'connect')])
  found.send('from the leecher')
  assert.equal(Buffer.from((await heard)[0]).toString(), 'from the leecher')
} else {
  const { address, family } = await lookup(new URL(url).hostname)
  assert.equal(found, family === 6 ? `[${address}]:6881` : `${address}:6881`)
}

assert.deepEqual(
  await counts(leecher, () => leecher.update({ left: 500 })),
  { complete: 1, incomplete: 1 }
)
assert.deepEqual(
  await counts(leecher, () => leecher.complete({ left: 0 })),
  { complete: 2, incomplete: 0 }
)
assert.deepEqual(
  await counts(seeder, () => seeder.stop({ left: 0 })),
  { complete: 1, incomplete: 0 }
)

assert.deepEqual(await scraped(leecher), { complete: 1, incomplete: 0, downloaded: 1 })
const stranger = participant(randomBytes(20), 6883, url)
assert.deepEqual(await scraped(stranger), { complete: 0, incomplete: 0, downloaded: 0 })

console.log('every answer was right')
process.exit(0)
