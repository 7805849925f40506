// Opens the page beside this script in a headless Chromium, lends it a folder and prints what it
// says.
//
// Knows nothing of torrents: those are the page's. Runs until it is killed.

import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'

const [page, address, folder, torrent] = process.argv.slice(1)
const payload = `${folder}/payload.bin`
const files = {
  '/': ['text/html', page],
  '/webtorrent.min.js': ['text/javascript', 'node_modules/webtorrent/dist/webtorrent.min.js'],
  '/torrent': ['application/x-bittorrent', torrent],
  '/payload': ['application/octet-stream', payload]
}

async function answer (request, response) {
  if (request.method === 'POST') {
    const body = await buffer(request)
    if (request.url === '/payload') await writeFile(payload, body)
    else console.log(body.toString())
    if (request.url === '/failed') process.exit(1)
    return response.end()
  }
  const [type, path] = files[request.url] ?? []
  const body = path && await readFile(path).catch(() => null)
  if (!body) return response.writeHead(404).end()
  response.writeHead(200, { 'content-type': type }).end(body)
}

const server = createServer((request, response) => { answer(request, response) })
server.listen(0, address, () => {
  const host = address.includes(':') ? `[${address}]` : address
  const origin = `http://${host}:${server.address().port}`
  // Names of sockets must be short.
  const env = { ...process.env, TMPDIR: '/dev/shm' }
  const browser = spawn('chromium', [
    '--headless',
    '--no-sandbox',
    '--log-level=3',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    // Addresses instead of names that only multicast resolves.
    '--disable-features=WebRtcHideLocalIpsWithMdns',
    // As https would be: only then has a page a hash function.
    `--unsafely-treat-insecure-origin-as-secure=${origin}`,
    `--user-data-dir=${folder}/profile`,
    origin
  ], { env, stdio: ['ignore', 'inherit', 'inherit'] })
  browser.on('error', error => { throw error })
  browser.on('exit', status => { throw new Error(`chromium ended: ${status}`) })
})
