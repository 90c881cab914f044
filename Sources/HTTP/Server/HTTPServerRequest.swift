import NIOCore
import NIOHTTP1

/// A request whose head is complete and says in one way only where its body ends.
package struct HTTPServerRequest: Sendable {
  package var head: HTTPRequestHead
  /// The other end of the connection; the same value for all requests that come on it.
  package var peer: HTTPPeer
  /// What `HTTPRequestHandler.identity` has made of the client's certificate; `nil` without one.
  package var identity: (any Sendable)?
  /// Runs the connection. `HTTPRequestHandler.receive` is called on it.
  package var loop: any EventLoop
  package var channel: any Channel
  /// Whether the head announces a body.
  package var mayHaveBody: Bool

  /// Whether the client waits for permission before it sends the body (RFC 9110, section 10.1.1).
  package var expectsContinue: Bool { head.version.minor > 0 && head.headers.contains(name: "expect") }
}

/// Answers the requests of a server. Shared by all of its connections.
package protocol HTTPRequestHandler: Sendable {
  typealias Respond = @Sendable (HTTPServerResponse) -> Void

  /// Decides, by the head alone, what becomes of a request and of its body. On the connection's event loop, so it must not
  /// block.
  func receive(_ request: HTTPServerRequest) -> HTTPReception

  /// What a client is told of a problem that the server has found by itself. The connection ends with it.
  ///
  /// - Parameter request: that has the problem.
  func response(to problem: HTTPServerProblem, of request: HTTPServerRequest) -> HTTPServerResponse

  /// Who a client's certificate belongs to. Once for each connection, with the first request.
  ///
  /// - Parameter certificate: in DER; the server's trust roots have signed it.
  func identity(certificate: [UInt8]) -> (any Sendable)?

  /// Something that whoever runs the server should know. From any thread.
  func noticed(_ event: HTTPServerEvent)
}

extension HTTPRequestHandler {
  package func identity(certificate: [UInt8]) -> (any Sendable)? { nil }
}

/// What becomes of a request.
package enum HTTPReception: Sendable {
  /// It is answered with this, its body is not looked at, and the connection ends.
  case refuse(HTTPServerResponse)
  /// The handler gets the body as a whole.
  ///
  /// `holder` is who pays for the memory that the body takes until it is answered; `nil` when nobody will read it: it is
  /// then dropped as it comes, and the handler gets none. `answer` is called once, on the event loop; what it is given is
  /// to be called once, from any thread.
  case collect(
    bytesMax: Int, holder: ConnectionBudget.User?,
    answer: @Sendable (_ body: ByteBuffer?, _ respond: @escaping HTTPRequestHandler.Respond) -> Void)
  /// The handler gets the body as it comes, at the handler's pace.
  case stream(answer: @Sendable (_ body: HTTPRequestBody, _ respond: @escaping HTTPRequestHandler.Respond) -> Void)
}

/// What a server finds wrong with a request by itself.
package enum HTTPServerProblem: Sendable, Equatable {
  /// The head can be read in more than one way, or asks for what there is not.
  case malformedHead(status: Int, reason: String)
  case bodyTooLarge(bytesMax: Int)
  /// Other bodies fill the memory that there is for this holder's.
  case bodiesAreMany
  /// The body did not come in time, or not at the pace that is asked for.
  case bodyTimeout
  /// The handler did not answer in time; it still may, and nobody hears it.
  case answerTimeout
  /// The head of the handler's answer does not fit into a frame of HTTP/2, and NIOHTTP2 cannot split it.
  case answerHeadTooLarge
}

package enum HTTPServerEvent: Sendable, Equatable {
  /// The connections of those who have not signed in, or those of one address, are as many as may be. Told once until
  /// there was room again.
  case connectionsAreMany(address: String)
  /// The fields of an answer, or those behind its body, are too large for HTTP/2: the client gets another answer, or sees
  /// its stream reset.
  case answerFieldsTooLarge(path: String)
}
