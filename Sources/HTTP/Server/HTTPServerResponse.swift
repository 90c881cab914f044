import NIOCore
import NIOHTTP1

/// What is answered.
///
/// The server adds what frames the body (`Content-Length`, `Transfer-Encoding`, `Connection`). A `Content-Length` that is
/// there already stays: it is the entity's in an answer to HEAD.
package struct HTTPServerResponse: Sendable {
  /// Writes the parts of a body, one after the other. The write returns when the client has taken enough for another one,
  /// and throws when the client has gone. When the producer throws, the connection is cut: the client learns that way that
  /// something is missing.
  package typealias Produce =
    @Sendable (_ write: @escaping @Sendable (ByteBuffer) async throws -> Void) async throws -> Void

  package enum Body: Sendable {
    case none
    /// From memory: written on the event loop.
    case buffer(ByteBuffer)
    /// Asked for on the event loop as the client takes it.
    case pulled(any HTTPPulledBody)
    /// Written by a task, at the client's pace. `length` in bytes; `nil` for one that ends when it ends, as a log that is
    /// followed: such a body is given up when the client closes its side or the server stops.
    case stream(length: Int64?, Produce)
    /// Part of a file: by sendfile(2) where nothing stands between the file and the socket.
    case file(any HTTPFileBody, Range<Int64>)
    /// The connection becomes another protocol; the closure takes the channel over, on its event loop, or ends what waits
    /// for it when it is called with `nil` because the client has gone.
    case upgrade(@Sendable ((any Channel)?) -> Void)
  }

  package var status: Int
  package var headers: HTTPHeaders
  package var body: Body
  /// Fields behind the body (RFC 9110, section 6.5), made when the body is complete. Answers of HTTP/1.1 have them when
  /// nobody knew the body's length before.
  package var trailers: (@Sendable () -> HTTPHeaders)?

  package init(status: Int, headers: HTTPHeaders = HTTPHeaders(), body: Body = .none) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// Of the body in bytes; `nil` when nobody knows it yet.
  package var length: Int64? {
    switch body {
    case .none, .upgrade: 0
    case .buffer(let buffer): Int64(buffer.readableBytes)
    case .pulled(let source): source.length.map { Int64($0) }
    case .stream(let length, _): length
    case .file(_, let range): range.upperBound - range.lowerBound
    }
  }

  /// Lets a stream that nobody reads any more clean up. It is cancelled, too: one that has nothing to write would otherwise
  /// wait for ever.
  package static func abandon(_ produce: @escaping Produce) {
    Task { try? await produce { _ in throw CancellationError() } }.cancel()
  }

  /// Ends what nobody will read.
  func abandon() {
    switch body {
    case .pulled(let source): source.cancel()
    case .stream(_, let produce): Self.abandon(produce)
    // Otherwise the process that was started for the client would run on.
    case .upgrade(let take): take(nil)
    case .none, .buffer, .file: break
    }
  }
}

/// A body that hands out its bytes when the client has taken the ones before. Used on one event loop, except for `cancel`.
package protocol HTTPPulledBody: Sendable {
  /// In bytes; `nil` for a live one, which ends when it ends and may have nothing to say for long.
  var length: Int? { get }
  /// So much waits that the client will miss some of it anyway: it is cut off if it does not read.
  var isOverrun: Bool { get }
  /// About what is kept for the client.
  var waitingBytes: Int { get }

  /// Before the first `next`.
  ///
  /// - Parameter wake: says that there is more, or the end; from any thread.
  func begin(on loop: any EventLoop, wake: @escaping @Sendable () -> Void)

  /// - Parameter bytes: of about this size.
  func next(bytes: Int, _ allocator: ByteBufferAllocator) -> HTTPBodyPiece

  /// The client has gone, or the body's end was handed out. May be called more than once.
  func cancel()
}

package enum HTTPBodyPiece: Sendable {
  case bytes(ByteBuffer)
  /// Nothing now; `wake` tells.
  case nothingYet
  case end(ByteBuffer?)
}

/// An open file whose parts can be sent.
package protocol HTTPFileBody: Sendable {
  /// Open as long as the value lives.
  var descriptor: Int32 { get }
  /// Whether it is as it was when it was opened. One that somebody has cut or written to must not be sent on.
  var isUnchanged: Bool { get }

  /// Reads from a place on a thread that may block; at least one byte.
  ///
  /// - Throws: at the end of the file too.
  func read(at offset: Int64, bytesMax: Int) async throws -> ByteBuffer
}

extension HTTPFileBody {
  /// Reads a part piece by piece and hands each on, where sendfile is no way.
  package func send(_ range: Range<Int64>, write: @Sendable (ByteBuffer) async throws -> Void) async throws {
    var at = range.lowerBound
    while at < range.upperBound {
      let buffer = try await read(at: at, bytesMax: Int(min(256 << 10, range.upperBound - at)))
      at += Int64(buffer.readableBytes)
      try await write(buffer)
    }
  }
}
