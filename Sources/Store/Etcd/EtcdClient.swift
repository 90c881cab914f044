import HTTP
import NIOCore
import Protobuf
import RPC
import Synchronization

/// Why a call did not go well, as far as it matters what may have happened.
enum EtcdFailure: Error, Equatable {
  /// etcd has reached its quota. It says so of what it refuses, and also of a transaction that it has just carried out and
  /// that took it over the quota (`quotaApplierV3`): whether it has happened has to be asked.
  case full(String)
  /// More than etcd takes in one request.
  case tooLarge(String)
  /// It has not happened, and will not when it is tried again.
  case refused(String)
  /// It has not happened, and may when it is tried again.
  case notBegun(String)
  /// It may have happened, or may still happen.
  case unknown(String)
  /// Likewise: TLS has failed, in its handshake or later. By itself that hardly becomes better.
  case untrusted(String)

  var reason: String {
    switch self {
    case .full(let reason), .tooLarge(let reason), .refused(let reason), .notBegun(let reason), .unknown(let reason),
      .untrusted(let reason):
      reason
    }
  }

  init(_ error: RPCError) {
    // Others' words, for the terminal and the service manager.
    let text = error.message.inOneLine
    if let cause = error.cause as? HTTPClientError {
      switch cause.code {
      // A connection can also break by it after the request was sent.
      case .tls: self = .untrusted(text)
      case .connect, .proxy, .refused, .overloaded, .timeout(.connect, _), .timeout(.tls, _),
        .timeout(.settings, _), .timeout(.queue, _):
        self = .notBegun(text)
      case .invalidConfiguration, .invalidRequest: self = .refused(text)
      default: self = .unknown(text)
      }
      return
    }
    switch error.status {
    case .resourceExhausted where text.contains("database space exceeded"): self = .full(text)
    // The last one is our own word of an answer.
    case .resourceExhausted where text.contains("larger than max") || text.contains("and may have"):
      self = .tooLarge(text)
    case .resourceExhausted where text.contains("too many requests"): self = .notBegun(text)
    case .invalidArgument where text.contains("too large") || text.contains("too many operations"):
      self = .tooLarge(text)
    case .invalidArgument, .permissionDenied, .unauthenticated, .unimplemented, .failedPrecondition, .outOfRange,
      .notFound:
      self = .refused(text)
    default: self = .unknown(text)
    }
  }
}

/// Calls of the members of an etcd: one of them is asked, and when it does not answer, the next one from then on.
final class EtcdClient: Sendable {
  /// Of one answer. A page of entries that is larger is asked for in smaller ones.
  static let answerBytesMax = 32 << 20

  private struct State {
    var index = 0
    var client: RPCClient
  }

  private let options: EtcdOptions
  private let state: Mutex<State>

  init(_ options: EtcdOptions) {
    self.options = options
    state = Mutex(State(client: Self.client(options, 0)))
  }

  private static func client(_ options: EtcdOptions, _ index: Int) -> RPCClient {
    let url = options.urls[index]
    return RPCClient(host: url.host, port: url.port, tls: options.tls, messageMax: answerBytesMax)
  }

  func close() { state.withLock { $0.client }.close() }

  /// - Parameter deadline: from now to the end of the answer.
  func call<Request: ProtobufMessage, Answer: ProtobufMessage>(
    _ method: RPCMethod, _ request: Request, _ type: Answer.Type = Answer.self, deadline: Duration
  ) async throws(EtcdFailure) -> Answer {
    try await call(method, bytes: try Self.bytes(request), deadline: deadline)
  }

  /// - Parameter bytes: of a message that may be sent again.
  func call<Answer: ProtobufMessage>(
    _ method: RPCMethod, bytes: [UInt8], deadline: Duration
  ) async throws(EtcdFailure) -> Answer {
    let client = state.withLock { $0.client }
    let answer: ByteBuffer
    do throws(RPCError) {
      answer = try await client.call(method, ByteBuffer(bytes: bytes), deadline: deadline)
    } catch {
      throw failure(error, of: client)
    }
    do throws(ProtobufError) {
      return try Answer(parsing: Array(answer.readableBytesView))
    } catch {
      throw .unknown("the answer to \(method.name) cannot be read: \(error)")
    }
  }

  /// Waits until something of the key has changed, the watch has ended for another reason, or `deadline` is over: whoever
  /// waits looks again.
  func waitForChange(of key: [UInt8], from revision: Int64, deadline: Duration) async throws(EtcdFailure) {
    let request = EtcdV3.WatchRequest(create: EtcdV3.WatchCreateRequest(key: key, startRevision: revision))
    let bytes = try Self.bytes(request)
    let client = state.withLock { $0.client }
    do throws(RPCError) {
      let answers = try await client.stream(EtcdV3.watch, ByteBuffer(bytes: bytes), deadline: deadline)
      while let answer = try await answers.next() {
        guard let response = try? EtcdV3.WatchResponse(parsing: Array(answer.readableBytesView)),
          response.events.isEmpty, !response.isCanceled
        else { return }
      }
    } catch {
      if error.status == .deadlineExceeded { return }
      throw failure(error, of: client)
    }
  }

  static func bytes(_ request: some ProtobufMessage) throws(EtcdFailure) -> [UInt8] {
    do throws(ProtobufError) { return try request.serialized() } catch { throw .refused("\(error)") }
  }

  /// Turns to the next member where this one does not answer, by a connection of its own: the one before may be dead
  /// without anybody having noticed.
  private func failure(_ error: RPCError, of client: RPCClient) -> EtcdFailure {
    let failure = EtcdFailure(error)
    switch failure {
    case .unknown, .untrusted, .notBegun:
      let isCurrent = state.withLock { state in
        guard state.client === client else { return false }
        state.index = (state.index + 1) % options.urls.count
        state.client = Self.client(options, state.index)
        return true
      }
      if isCurrent { client.close() }
    case .full, .tooLarge, .refused: break
    }
    return failure
  }
}

/// Waits, on a thread that may block, for what must not.
func blocking<Value: Sendable, Failure: Error>(
  _ body: @escaping @Sendable () async throws(Failure) -> Value
) throws(Failure) -> Value {
  let queue = WorkQueue<Result<Value, Failure>>(countMax: 1, costMax: 1)
  Task {
    let result: Result<Value, Failure>
    do throws(Failure) { result = .success(try await body()) } catch { result = .failure(error) }
    _ = queue.push(result, cost: 1)
  }
  guard let result = queue.take(count: 1, cost: 1)?.elements.first else { preconditionFailure("nobody closes it") }
  return try result.get()
}
