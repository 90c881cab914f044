import LinuxSystem

/// Where one server keeps things, and what it is called on the machine.
package struct FootprintPlace: Sendable, Equatable {
  /// The data directory.
  package var data: String
  /// Sockets and the like, gone after a reboot. All of it goes with a purge.
  package var run: String
  /// The root of its cgroups, from the root of the hierarchies and without a slash. All of them go with a purge.
  package var cgroup: String
  /// Tells this data directory from every other one: what things in the kernel are marked with. Empty where nobody asks.
  package var owner: String

  package init(data: String, run: String, cgroup: String, owner: String) {
    self.data = data
    self.run = run
    self.cgroup = cgroup
    self.owner = owner
  }

  /// A path below the data directory.
  package func path(_ name: String) -> String { "\(data)/\(name)" }
}

/// What a capability has of the machine: from this a purge removes it, a second server is kept from it, and
/// `apus doctor` looks after it.
///
/// Whatever it has below the run folder and in cgroups below the server's own need not be told: all of that goes.
package struct Footprint: Sendable {
  /// A file or folder directly in the data directory.
  package struct Entry: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
      /// For root alone (0700).
      case folder
      case file
      /// Written by people, also before the first start. A purge leaves what was there before.
      case configuration
    }

    package var name: String
    package var kind: Kind
    /// Of a folder that holds anything: one of these is in it when it was made by Apus. Empty when that cannot be told.
    package var signs: [String]
    /// Files in it that, all of them there, prove that the whole directory is Apus'.
    package var proofs: [String]
    /// Folders in it that are filled by a cluster only: when the state is gone and they hold something, it is lost and
    /// not new. Such an entry carries the cluster's mark.
    package var filled: [String]

    package init(
      _ name: String, _ kind: Kind = .folder, signs: [String] = [], proofs: [String] = [], filled: [String] = []
    ) {
      self.name = name
      self.kind = kind
      self.signs = signs
      self.proofs = proofs
      self.filled = filled
    }
  }

  /// What only one server of a machine can have, whoever else asks.
  package typealias Claim = MachineClaim.Thing

  package var entries: [Entry]
  /// Folders below the data directory in which its mounts are, each deeper than the folder itself.
  package var mounts: [String]
  /// Folders below the run folder: one that holds something tells that pods run.
  package var running: [String]
  /// Network interfaces.
  package var links: [String]
  /// nftables tables with their family: `ip apus0`.
  package var tables: [String]
  package var claims: [Claim]
  /// What it listens on beside the API.
  package var listeners: [Listener]
  /// What it stands on, for `apus doctor`.
  package var checks: [MachineCheck]
  /// Whether links and tables are this server's although no claim says so any more, as the kernel tells it.
  package var isMarked: @Sendable () async throws -> Bool
  /// Ends what runs, and removes what is not told above, for a purge; `note` tells the person who waits. What is not there
  /// counts as removed.
  package var release: @Sendable (_ note: @Sendable (String) -> Void) async throws -> Void
  /// What is still there of what `release` removes, as the kernel tells it, in words.
  package var leftovers: @Sendable () async throws -> [String]

  package struct Listener: Sendable, Equatable {
    /// By which a socket can be given for it (`GivenSockets`).
    package var name: String
    package var port: Int
    /// The option that changes it.
    package var option: String

    package init(name: String, port: Int, option: String) {
      self.name = name
      self.port = port
      self.option = option
    }
  }

  package init(
    entries: [Entry] = [], mounts: [String] = [], running: [String] = [], links: [String] = [], tables: [String] = [],
    claims: [Claim] = [], listeners: [Listener] = [], checks: [MachineCheck] = [],
    isMarked: @escaping @Sendable () async throws -> Bool = { false },
    release: @escaping @Sendable (_ note: @Sendable (String) -> Void) async throws -> Void = { _ in },
    leftovers: @escaping @Sendable () async throws -> [String] = { [] }
  ) {
    self.entries = entries
    self.mounts = mounts
    self.running = running
    self.links = links
    self.tables = tables
    self.claims = claims
    self.listeners = listeners
    self.checks = checks
    self.isMarked = isMarked
    self.release = release
    self.leftovers = leftovers
  }
}

/// One question about the machine.
package struct MachineCheck: Sendable {
  package enum Finding: Sendable, Equatable {
    case ok(String)
    /// Something works less well, or not at all in a case: what, and what to do.
    case warning(String, remedy: String)
    /// It does not work: what, and what to do.
    case problem(String, remedy: String)
  }

  package var name: String
  package var find: @Sendable () async -> Finding

  package init(_ name: String, find: @escaping @Sendable () async -> Finding) {
    self.name = name
    self.find = find
  }

  /// A program that has to be there and to run.
  ///
  /// - Parameters:
  ///   - package: of Debian.
  ///   - arguments: make it print its version, on the first line.
  ///   - without: what does not work without it, when the rest does; `nil` when nothing does.
  package static func program(
    _ program: String, package: String, arguments: [String] = ["--version"], without: String? = nil
  ) -> MachineCheck {
    MachineCheck(program) {
      let remedy = "apt-get install \(package)"
      let what: String
      do {
        let result = try await Subprocess.run(program, arguments, timeout: .seconds(10))
        if result.status == .exited(0) {
          let output = result.stdout.isEmpty ? result.stderr : result.stdout
          return .ok(String(decoding: output.prefix { $0 != 0x0a }.prefix(100), as: UTF8.self))
        }
        what = "\(program) fails (\(result.status))"
      } catch {
        what = "\(program) does not run (\(error))"
      }
      guard let without else { return .problem(what, remedy: remedy) }
      return .warning("\(what): \(without)", remedy: remedy)
    }
  }
}
