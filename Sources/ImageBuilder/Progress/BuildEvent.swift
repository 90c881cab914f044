import Wire

/// What happens in a build, as it happens. Vertices are what progress numbers: steps, and what the builder itself does.
public enum BuildEvent: Sendable, Equatable {
  /// - Parameter title: `[build 2/4] RUN make`, `[internal] load build context`, `exporting to image`.
  case started(vertex: Int, title: String)
  case cached(vertex: Int)
  /// What a step's process wrote, whole lines or what came without a line end.
  case output(vertex: Int, stream: Stream, bytes: [UInt8])
  /// A line about the vertex: `transferring context: 2.10kB done`.
  case status(vertex: Int, text: String)
  case finished(vertex: Int)
  case canceled(vertex: Int)
  case failed(vertex: Int, message: String)
  /// What is legal and yet not meant; for the end of the output.
  case warning(String)

  public enum Stream: Sendable, Equatable { case stdout, stderr }
}

/// Takes events; called from several tasks, never blocks for long.
public typealias BuildEventHandler = @Sendable (BuildEvent) -> Void

/// Gives vertices their numbers.
final class ProgressReporter: Sendable {
  private let handler: BuildEventHandler
  private let next = Counter()
  private let isClosed: Flag

  init(_ handler: @escaping BuildEventHandler) {
    let isClosed = Flag()
    self.isClosed = isClosed
    // A step that others wait for may go on when its build has ended: nobody listens any more.
    self.handler = { event in if !isClosed.isSet { handler(event) } }
  }

  /// Tells nothing more.
  func close() { isClosed.set() }

  func start(_ title: String) -> ProgressVertex {
    let vertex = ProgressVertex(id: next.increment(), handler: handler)
    handler(.started(vertex: vertex.id, title: title))
    return vertex
  }

  func warn(_ text: String) { handler(.warning(text)) }

  /// Runs `body` as one vertex.
  func vertex<T: Sendable>(
    _ title: String, _ body: (ProgressVertex) async throws(BuildError) -> T
  ) async throws(BuildError) -> T {
    let vertex = start(title)
    do throws(BuildError) {
      let value = try await body(vertex)
      vertex.finish()
      return value
    } catch {
      vertex.fail(error)
      throw error
    }
  }
}

struct ProgressVertex: Sendable {
  let id: Int
  fileprivate let handler: BuildEventHandler

  fileprivate init(id: Int, handler: @escaping BuildEventHandler) {
    self.id = id
    self.handler = handler
  }

  /// One that only hands on what is said; whoever listens has vertices of his own.
  init(relaying report: @escaping @Sendable (StepNote) -> Void) {
    self.init(id: 0) { event in
      switch event {
      case .status(_, let text): report(.status(text))
      case .output(_, let stream, let bytes): report(.output(stream, bytes))
      case .started, .cached, .finished, .canceled, .failed, .warning: break
      }
    }
  }

  func cached() { handler(.cached(vertex: id)) }
  func status(_ text: String) { handler(.status(vertex: id, text: text)) }
  func output(_ stream: BuildEvent.Stream, _ bytes: [UInt8]) {
    handler(.output(vertex: id, stream: stream, bytes: bytes))
  }
  func show(_ note: StepNote) {
    switch note {
    case .status(let text): status(text)
    case .output(let stream, let bytes): output(stream, bytes)
    }
  }
  func finish() { handler(.finished(vertex: id)) }
  func fail(_ error: BuildError) {
    handler(error.code == .cancelled ? .canceled(vertex: id) : .failed(vertex: id, message: error.message))
  }
}
