import HTTPTestKit
import NIOCore

@testable import HTTP

/// A container runtime's streaming server whose processes are the last word of the URL's path: `cat` copies its input and
/// ends with it, `exit-N` ends, `write-N` writes N bytes, `size` tells its terminal's size, `fail` cannot be started, `rude`
/// says something and is gone, `deaf` takes no streams. `port` echoes, except for port 9, which nobody listens on, and port 7, which
/// says something and is gone.
enum FakeStreamingServer {
  /// - Parameter body: gets the URL, with a slash at its end.
  static func run<Value: Sendable>(_ body: (_ url: String) async throws -> Value) async throws -> Value {
    try await ScriptedServer.run(serve) { port in try await body("http://127.0.0.1:\(port)/") }
  }

  private static let serve: @Sendable (ScriptedServer.Session) async throws -> Void = { session in
    let lines = session.head.split(separator: "\r\n").map(String.init)
    let word = lines[0].split(separator: " ")[1].dropFirst()
    func field(_ name: String) -> String? {
      lines.first { $0.lowercased().hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) }
    }
    let isPort = word == "port"
    let known = isPort ? "portforward.k8s.io" : "v4.channel.k8s.io"
    guard lines[0].hasPrefix("POST "), field("upgrade") == "SPDY/3.1", field("x-stream-protocol-version") == known
    else {
      return try await session.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad")
    }
    if word == "gone" {
      return try await session.write("HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nno such word")
    }
    try await session.agree("Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: \(known)")
    if word == "deaf" { return try await session.hang() }
    let connection = try SPDYConnection(.server) { try await session.output.write($0) }
    let (opened, opener) = AsyncStream<SPDYStream>.makeStream()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        try? await connection.run(session.input) { stream in
          opener.yield(stream)
          return true
        }
        opener.finish()
      }
      var streams: [String: SPDYStream] = [:]
      for await stream in opened {
        streams[stream.header("streamtype") ?? ""] = stream
        if isPort, streams.count == 2 { break }
        // Which streams there are says the word; they come in one order.
        if !isPort, streams.count == Self.streamCount(of: word) { break }
      }
      var isRude = word == "rude"
      if isPort { isRude = await !port(streams) } else { await process(String(word), streams) }
      // As the server of Kubernetes does: what is still open is reset, and the connection ends.
      if !isRude { for await _ in opened {} }
      group.cancelAll()
    }
  }

  /// Of `error`, `stdin`, `stdout`, `stderr` and `resize`.
  private static func streamCount(of word: Substring) -> Int { word == "fail" ? 2 : 3 }

  private static func process(_ word: String, _ streams: [String: SPDYStream]) async {
    let number = Int(word.split(separator: "-").last ?? "") ?? 0
    var status = #"{"metadata":{},"status":"Success"}"#
    switch word.split(separator: "-").first {
    case "cat":
      while let bytes = await streams["stdin"]?.read() { try? await streams["stdout"]?.write(bytes) }
    case "write":
      var left = number
      while left > 0 {
        let count = min(left, 100_000)
        guard (try? await streams["stdout"]?.write(ByteBuffer(repeating: UInt8(ascii: "x"), count: count))) != nil
        else {
          return
        }
        left -= count
      }
      try? await streams["stderr"]?.write(ByteBuffer(string: "done"))
    case "size":
      if let size = await streams["resize"]?.read() { try? await streams["stdout"]?.write(size) }
    case "exit":
      status =
        #"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status N","#
        + #""reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"\#(number)"}]}}"#
    case "fail":
      status =
        #"{"metadata":{},"status":"Failure","message":"Internal error occurred: no such program","reason":"InternalError"}"#
    case "rude":
      try? await streams["stdout"]?.write(ByteBuffer(string: "half"))
      return
    default: break
    }
    // Before the streams end, and in more than one piece.
    try? await streams["error"]?.write(ByteBuffer(string: String(status.prefix(9))))
    try? await streams["error"]?.write(ByteBuffer(string: String(status.dropFirst(9))))
    for stream in streams.values { stream.reset() }
  }

  /// - Returns: whether it ends as it should.
  private static func port(_ streams: [String: SPDYStream]) async -> Bool {
    guard let data = streams["data"], let error = streams["error"] else { return false }
    if data.header("port") == "7" {
      try? await data.write(ByteBuffer(string: "half"))
      return false
    }
    if data.header("port") == "9" {
      try? await error.write(ByteBuffer(string: "error forwarding port 9: connection refused"))
    } else {
      while let bytes = await data.read() { try? await data.write(bytes) }
    }
    try? await error.finish()
    try? await data.finish()
    return true
  }
}
