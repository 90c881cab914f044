import NIOCore
import Synchronization

/// The client's end of a SPDY connection that `HTTPClient.upgrade` has made. Letting go of it closes the connection.
package final class SPDYClient: Sendable {
  private let channel: any Channel
  private let connection: SPDYConnection
  private let missed = Mutex<Duration?>(nil)
  private let isClosed = Atomic(false)

  private init(_ channel: any Channel, _ connection: SPDYConnection) {
    self.channel = channel
    self.connection = connection
  }

  deinit { close() }

  /// Begins to read. The connection is the client's from now on.
  package static func start(_ upgrade: HTTPUpgrade) async throws(HTTPClientError) -> SPDYClient {
    let begun = OneShot<Result<SPDYConnection, SPDYError>>()
    let taken = upgrade.connection
    Task {
      do {
        try await taken.executeThenClose { input, output in
          let connection: SPDYConnection
          do throws(SPDYError) {
            connection = try SPDYConnection(.client) { try await output.write($0) }
          } catch {
            begun.resolve(.failure(error))
            return
          }
          begun.resolve(.success(connection))
          try await connection.run(input)
        }
      } catch {
        // The connection keeps what is worth telling, and its streams are over.
      }
    }
    do throws(SPDYError) { return SPDYClient(taken.channel, try await begun.value.get()) } catch {
      throw HTTPClientError(.malformed, error.message, cause: error)
    }
  }

  /// Opens streams, one for each list of headers, and waits until the server has taken all of them. By one task at a time.
  package func open(
    _ streams: [[SPDYHeader]], within limit: Duration
  ) async throws(HTTPClientError) -> [SPDYStream] {
    let deadline = channel.eventLoop.scheduleTask(in: TimeAmount(bounded: limit)) { [weak self] in
      self?.missed.withLock { $0 = limit }
      self?.close()
    }
    defer { deadline.cancel() }
    do {
      return try await withTaskCancellationHandler {
        var opened: [SPDYStream] = []
        for headers in streams { opened.append(try await connection.open(headers)) }
        for stream in opened where await !stream.isAccepted() {
          throw HTTPClientError(.closed(isAnswered: true), "the server does not take a stream")
        }
        return opened
      } onCancel: {
        close()
      }
    } catch {
      throw failure ?? (error as? HTTPClientError) ?? .closed(isAnswered: true, cause: error)
    }
  }

  /// Why the connection has ended, when the server did not just close it.
  package var failure: HTTPClientError? {
    if let limit = missed.withLock({ $0 }) { return .timeout(.head, limit) }
    return connection.failure.map { HTTPClientError(.malformed, "what it sends is not SPDY: \($0.message)", cause: $0) }
  }

  package func close() {
    isClosed.store(true, ordering: .releasing)
    connection.close()
    channel.close(promise: nil)
  }

  /// Whether this end has closed it.
  package var wasClosed: Bool { isClosed.load(ordering: .acquiring) }
}
