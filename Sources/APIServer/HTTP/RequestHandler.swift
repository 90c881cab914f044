import HTTP
import KubeClient
import Logging
import NIOCore
import NIOHTTP1

/// Between the server and the router: the head tells who asks and whether they may, and a body is kept for nobody else.
final class RequestHandler: HTTPRequestHandler {
  private let router: Router
  private let logger: Logger

  private static let bodyBytesMax = 3 << 20

  /// Who a certificate belongs to. A class, because it is looked up for each request.
  private final class Certificate: Sendable {
    let user: UserInfo
    init(_ user: UserInfo) { self.user = user }
  }

  init(router: Router, logger: Logger) {
    self.router = router
    self.logger = logger
  }

  func identity(certificate: [UInt8]) -> (any Sendable)? {
    Authenticator.user(certificateDER: certificate).map(Certificate.init)
  }

  func receive(_ request: HTTPServerRequest) -> HTTPReception {
    let head = request.head
    let info = RequestInfo(method: head.method.rawValue, uri: head.uri)
    let caller = Result { () throws(KubeError) in
      try router.caller(head.headers, info, certificateUser: (request.identity as? Certificate)?.user)
    }
    let payer: ConnectionBudget.User?
    switch caller {
    case .success(let user) where user.name != UserInfo.anonymous.name:
      // The connection becomes the caller's.
      payer = request.peer.signedIn(
        user.name, isPrivileged: ConnectionBudget.User.isPrivileged(user), payer: { ConnectionBudget.User(user).name })
      if payer == nil { return .refuse(refusal(info, .connectionsAreMany)) }
    case .success(let user):
      guard request.peer.strangerMayAsk() else { return .refuse(refusal(info, .connectionsAreMany)) }
      payer = ConnectionBudget.User(user)
    case .failure(let error):
      guard request.peer.strangerMayAsk() else { return .refuse(refusal(info, .connectionsAreMany)) }
      if request.mayHaveBody, request.expectsContinue { return .refuse(refusal(info, error)) }
      payer = nil
    }
    let holder = request.mayHaveBody ? payer : nil
    return .collect(bytesMax: Self.bodyBytesMax, holder: holder) { [router] body, respond in
      let request = APIRequest(
        method: head.method.rawValue, uri: head.uri, accept: head.headers.first(name: "accept"),
        contentType: head.headers.first(name: "content-type") ?? "",
        body: body.map { Array($0.readableBytesView) } ?? [], headers: head.headers, loop: request.loop,
        channel: request.channel)
      router.handle(request, info, by: caller, respond: respond)
    }
  }

  func response(to problem: HTTPServerProblem, of request: HTTPServerRequest) -> HTTPServerResponse {
    let info = RequestInfo(method: request.head.method.rawValue, uri: request.head.uri)
    switch problem {
    case .malformedHead(let status, let reason):
      return refusal(info, .malformedHead(status: status, reason: reason))
    case .bodyTooLarge(let bytesMax): return refusal(info, .tooLarge(limit: bytesMax))
    case .bodiesAreMany: return refusal(info, .bodiesAreMany)
    case .bodyTimeout: return refusal(info, .bodyTimeout)
    // The router counts what it has, with its own answer.
    case .answerTimeout: return Reply(.requestTimeout).response
    case .answerHeadTooLarge: return Reply(.internalError("the head of the answer is too large for HTTP/2")).response
    }
  }

  private func refusal(_ info: RequestInfo, _ error: KubeError) -> HTTPServerResponse {
    router.count(info, error.code)
    return Reply(error).response
  }

  func noticed(_ event: HTTPServerEvent) {
    switch event {
    case .connectionsAreMany(let address):
      logger.warning(
        "too many connections that have not signed in: the oldest are closed", metadata: ["address": "\(address)"])
    case .answerFieldsTooLarge(let path):
      logger.warning("the fields of an answer are too large for HTTP/2", metadata: ["path": "\(path)"])
    }
  }
}

extension HTTPServerLimits {
  /// Whoever has not signed in has an eighth of the connections: reading health and versions, and signing in, takes an
  /// instant. Commands of `exec` are part of the URL, so heads are long.
  static var apiServer: HTTPServerLimits {
    HTTPServerLimits(
      connections: ConnectionBudget.Limits(total: 4096, strangers: 512),
      bodies: SharedBudget.Limits(total: 64 << 20, share: 24 << 20, kept: 16 << 20))
  }
}
