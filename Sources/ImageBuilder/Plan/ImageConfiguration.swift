import Dockerfile
import OCI
import Wire

/// The configuration of an image as instructions change it. Pure.
struct ImageConfiguration: Sendable, Equatable {
  var config: ImageConfig
  var author: String?
  /// Whether a `CMD` of this stage has been seen: `ENTRYPOINT` then leaves it.
  var hasOwnCmd = false

  static let defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  /// An image without anything, as `FROM scratch` starts.
  static let scratch: ImageConfiguration = {
    var config = ImageConfig()
    config.workingDir = "/"
    return ImageConfiguration(config)
  }()

  /// From a base image. A `PATH` that it lacks is added, since every process gets one.
  init(_ config: ImageConfig, author: String? = nil) {
    self.config = config
    self.author = author
    if !config.env.contains(where: { $0.hasPrefix("PATH=") }) { self.config.env.append(Self.defaultPath) }
  }

  /// What starts before a shell form.
  var shellWords: [String] { config.shell.isEmpty ? Dockerfile.CommandLine.defaultShell : config.shell }

  /// The variables of `ENV`.
  var environment: [StageScope.Variable] {
    config.env.map { entry in
      let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (name: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : "")
    }
  }

  mutating func setEnvironment(_ name: String, _ value: String) {
    let entry = "\(name)=\(value)"
    if let at = config.env.firstIndex(where: { $0.hasPrefix(name + "=") }) {
      config.env[at] = entry
    } else {
      config.env.append(entry)
    }
  }

  /// `path` from the working directory, normalised, absolute.
  func absolute(_ path: String) -> String { FilePath.absolute(path, from: config.workingDir) }

  /// Applies an evaluated instruction that changes nothing but the configuration; `false` for the others (`RUN`, `COPY`,
  /// `ADD`, `FROM`). `WORKDIR` is applied here; that its folder is made is the plan's matter.
  mutating func apply(_ body: Dockerfile.Body) throws(DockerfileError) -> Bool {
    switch body {
    case .arg: break
    case .env(let pairs): for pair in pairs { setEnvironment(pair.key, pair.value) }
    case .label(let pairs): for pair in pairs { config.labels[pair.key] = pair.value }
    case .cmd(let line):
      config.cmd = line.words(shell: shellWords)
      hasOwnCmd = true
    case .entrypoint(let line):
      config.entrypoint = line.words(shell: shellWords)
      // A command of the base image was meant for the base image's entry point.
      if !hasOwnCmd { config.cmd = [] }
    case .expose(let ports):
      for port in ports { config.exposedPorts += try Dockerfile.ExposedPort.parse(port) }
      config.exposedPorts = Set(config.exposedPorts).sorted()
    case .healthcheck(let check): config.healthcheck = Self.healthcheck(check)
    case .maintainer(let name): author = name
    case .onbuild(let trigger): config.onBuild.append(trigger.text)
    case .shell(let words): config.shell = words
    case .stopsignal(let signal): config.stopSignal = signal
    case .user(let name): config.user = name
    case .volume(let paths): config.volumes = Set(config.volumes + paths).sorted()
    case .workdir(let path): config.workingDir = absolute(path)
    case .add, .copy, .run, .from: return false
    }
    return true
  }

  private static func healthcheck(_ check: Dockerfile.HealthCheck) -> ImageConfig.Healthcheck {
    var result = ImageConfig.Healthcheck()
    switch check {
    case .none: result.test = ["NONE"]
    case .cmd(let line, let timing):
      switch line {
      case .exec(let words): result.test = words.isEmpty ? ["NONE"] : ["CMD"] + words
      case .shell(let text): result.test = ["CMD-SHELL", text]
      }
      result.interval = timing.interval ?? .zero
      result.timeout = timing.timeout ?? .zero
      result.startPeriod = timing.startPeriod ?? .zero
      result.startInterval = timing.startInterval ?? .zero
      result.retries = timing.retries ?? 0
    }
    return result
  }
}

/// Paths of an image, as text, taken apart by bytes as the kernel does: to Swift a slash before a combining mark is
/// another character.
enum FilePath {
  /// The names in a path.
  static func parts(_ path: String) -> [Substring] { path.utf8.split(separator: UInt8(ascii: "/")).map(Substring.init) }

  static func isAbsolute(_ path: String) -> Bool { path.utf8.first == UInt8(ascii: "/") }

  static func endsWithSlash(_ path: String) -> Bool { path.utf8.last == UInt8(ascii: "/") }

  /// Without `.`, `..` and double slashes; never above the root. Absolute.
  static func absolute(_ path: String, from directory: String) -> String {
    let whole = isAbsolute(path) ? path : directory + "/" + path
    var parts: [Substring] = []
    for part in self.parts(whole) where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  /// Relative to the root, normalised: empty for the root itself.
  static func relative(_ path: String) -> String { String(Substring(absolute(path, from: "/").utf8.dropFirst())) }

  static func join(_ folder: String, _ name: String) -> String {
    folder.isEmpty ? name : name.isEmpty ? folder : folder + "/" + name
  }

  static func parent(_ path: String) -> String {
    path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? ""
  }

  static func name(_ path: String) -> String {
    path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[path.utf8.index(after: $0)...]) } ?? path
  }

  /// Whether the text names a folder by its form: `a/`, `.`, `a/.`, `..`, nothing.
  static func namesDirectory(_ path: String) -> Bool {
    path.isEmpty || endsWithSlash(path) || [".", ".."].contains(name(path))
  }
}
