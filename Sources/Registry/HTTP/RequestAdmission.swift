import HTTP
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// Lets requests in: so many at one time, of which no address gets all, and some only for those who say who they are.
final class RequestAdmission: HTTPRequestHandler {
  /// Answers a request. Any thread.
  typealias Answer = @Sendable (Request) async -> Reply

  private let logger: Logger
  private let answer: Answer
  /// Requests at one time, by address.
  private let requests: Mutex<SharedBudget>

  init(limits: RegistryConfiguration.Limits, logger: Logger, answer: @escaping Answer) {
    self.logger = logger
    self.answer = answer
    requests = Mutex(SharedBudget(limits: Self.requests(limits)))
  }

  /// New limits count for new requests.
  func setLimits(_ limits: RegistryConfiguration.Limits) { requests.withLock { $0.limits = Self.requests(limits) } }

  private static func requests(_ limits: RegistryConfiguration.Limits) -> SharedBudget.Limits {
    let total = limits.requestsMax
    return SharedBudget.Limits(total: total, share: max(1, total - total / 4), kept: total / 8)
  }

  func receive(_ request: HTTPServerRequest) -> HTTPReception {
    // Whoever says who they are is asked, whatever the strangers of the same address hold.
    let mayIdentify =
      Self.mayIdentify(request.head.method, request.head.headers.contains(name: "authorization"))
      || Route.healthPaths.contains(request.head.uri)
    guard mayIdentify || request.peer.strangerMayAsk() else {
      return .refuse(Self.tooMany("too many requests of this address at one time; try again"))
    }
    return .stream { [self] body, respond in
      admit(Request(request, body: body), mayIdentify: mayIdentify, respond)
    }
  }

  /// Whether a request's header may tell who asks before its body is read. A POST's may not: what signs in at the token's
  /// endpoint is a form, which may come slowly.
  private static func mayIdentify(_ method: HTTPMethod, _ hasHeader: Bool) -> Bool { hasHeader && method != .POST }

  private static func tooMany(_ message: String) -> Reply {
    Reply(RegistryError(.tooManyRequests, message, headers: [RegistryError.Header("Retry-After", "1")]))
  }

  /// Answers in a task of its own.
  private func admit(_ request: Request, mayIdentify: Bool, _ respond: @escaping Respond) {
    let address = request.peer.holder
    // Whoever says who they are gets a place on which to be asked. A wrong password gives it back at once; until it is
    // known, an address leaves what is kept for others.
    let hasSignedIn = request.peer.hasSignedIn
    let isTaken = requests.withLock { requests in
      let mayTakeKept =
        hasSignedIn || mayIdentify && requests.held(by: address) < requests.limits.total - requests.limits.kept
      return requests.take(1, for: address, isPrivileged: mayTakeKept)
    }
    guard isTaken else { return respond(Self.tooMany("too many requests at one time; try again")) }
    Task {
      let reply = await answer(request)
      requests.withLock { $0.giveBack(1, of: address) }
      respond(reply)
    }
  }

  func response(to problem: HTTPServerProblem, of request: HTTPServerRequest) -> HTTPServerResponse {
    switch problem {
    case .malformedHead(let status, let reason):
      Reply(RegistryError(.unsupported, "the request's head is not understood: \(reason)", status: status))
    case .bodyTooLarge(let bytesMax):
      Reply(RegistryError(.sizeInvalid, "the body has more than \(bytesMax) bytes", status: 413))
    case .bodiesAreMany: Self.tooMany("the registry holds too many bodies of requests; try again")
    case .bodyTimeout: Reply(RegistryError(.unsupported, "the body did not go on for too long", status: 408))
    case .answerTimeout: Reply(RegistryError(.unavailable, "the request took too long", status: 504))
    case .answerHeadTooLarge:
      Reply(RegistryError(.unavailable, "the head of the answer is too large for HTTP/2", status: 500))
    }
  }

  func noticed(_ event: HTTPServerEvent) {
    switch event {
    case .connectionsAreMany(let address): logger.warning("too many connections", metadata: ["address": "\(address)"])
    case .answerFieldsTooLarge(let path):
      logger.warning("the fields of an answer are too large for HTTP/2", metadata: ["path": "\(path)"])
    }
  }
}

extension HTTPServerLimits {
  init(_ limits: RegistryConfiguration.Limits) {
    let bodies = max(64 << 20, 2 * limits.manifestBytesMax)
    self.init(
      // Half is for those who do not sign in: for many registries that is everybody.
      connections: ConnectionBudget.Limits(
        total: limits.connectionsMax, strangers: limits.connectionsMax - limits.connectionsMax / 2),
      bodies: SharedBudget.Limits(total: bodies, share: bodies / 2, kept: bodies / 4))
    connection.idle = TimeAmount(bounded: limits.idle)
    connection.strangerIdle = connection.idle
    connection.head = min(TimeAmount(bounded: limits.head), connection.idle)
    connection.stall = TimeAmount(bounded: limits.stall)
    connection.take = connection.stall
    connection.streamTake = connection.stall
    connection.liveTake = connection.stall
    // The handler has deadlines of its own.
    connection.answer = nil
    connection.headerBytesMax = 64 << 10
    // Layers come in large pieces: fewer, larger reads, hashes and writes.
    connection.readBytesMax = 256 << 10
    connection.readsMax = 4
  }
}
