// Seeds or leeches one torrent with webtorrent for Node and prints what happens.
//
// Finds peers through the tracker only. Runs until it is killed; an interrupt ends it in order.

import WebTorrent from 'webtorrent'

const [folder, file] = process.argv.slice(1)

const client = new WebTorrent({
  dht: false,
  lsd: false,
  natPmp: false,
  natUpnp: false,
  utPex: false,
  utp: false,
  tracker: { rtcConfig: { iceServers: [] } }
})
client.on('error', error => { throw error })

const torrent = client.add(file, { path: folder })
torrent.on('warning', warning => console.log('warning:', warning.message))
let answers = 0
torrent.on('trackerAnnounce', () => console.log(`answer ${++answers} of the tracker`))
torrent.on('wire', wire => console.log(`connected by ${wire.type}`))
torrent.on('done', () => console.log('has the whole file'))

// What it says when it stops is that nothing ever moved, so it says before how much did.
process.once('SIGINT', () => {
  torrent.once('trackerAnnounce', () => {
    console.log(`claims uploaded=${torrent.uploaded} downloaded=${torrent.downloaded}`)
    client.destroy(() => process.exit(0))
  })
  torrent.discovery.tracker.update()
})
