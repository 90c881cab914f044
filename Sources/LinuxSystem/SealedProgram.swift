import CLinux
import Glibc

/// A copy of a program in memory that nobody can change any more, root included (memfd_create(2), fcntl(2) `F_ADD_SEALS`).
///
/// A container engine must not let a container write to the engine's own file through /proc/self/exe (CVE-2019-5736), so
/// crun and runc begin by making such a copy and running themselves a second time from it. One that is run from a sealed
/// copy sees that, and goes on at once.
///
/// The copy lasts as long as this object, and can be run by any process of the machine that may look at this one.
public final class SealedProgram: Sendable {
  /// Of the copy.
  public let path: String
  private let descriptor: Int32
  private let original: String
  private let identity: [Int64]

  /// Larger programs are refused.
  private static let sizeMax = 64 << 20
  /// Blocks shortly. Throws `ENOEXEC` for what is no program in machine code.
  public init(copying program: String) throws(SystemError) {
    // Looked at before it is read: one that is replaced meanwhile is copied once more.
    guard let identity = Self.identity(of: program) else { throw .last("stat \(program)") }
    let bytes = try DurableFile.read(program, limit: Self.sizeMax)
    // A script is read by its interpreter, and is nobody's to guard.
    guard bytes.starts(with: [0x7f, 0x45, 0x4c, 0x46]) else { throw SystemError("copy \(program)", errno: ENOEXEC) }
    let name = program.split(separator: "/").last.map(String.init) ?? program
    let descriptor = apus_create_memory_program(name)
    guard descriptor >= 0 else { throw .last("memfd_create") }
    do throws(SystemError) {
      var written = 0
      while written < bytes.count {
        let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress.map { $0 + written }, $0.count - written) }
        guard count > 0 else { throw .last("copy \(program)") }
        written += count
      }
      guard apus_seal(descriptor) == 0 else { throw .last("seal the copy of \(program)") }
    } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
    self.identity = identity
    original = program
    path = "/proc/\(getpid())/fd/\(descriptor)"
  }

  deinit { close(descriptor) }

  /// Whether this is a copy of the program as it is on disk now.
  public func isCurrent(for program: String) -> Bool { program == original && Self.identity(of: program) == identity }

  private static func identity(of path: String) -> [Int64]? {
    var facts = stat()
    guard stat(path, &facts) == 0 else { return nil }
    return [
      Int64(bitPattern: UInt64(facts.st_dev)), Int64(bitPattern: UInt64(facts.st_ino)), Int64(facts.st_size),
      Int64(facts.st_mtim.tv_sec), Int64(facts.st_mtim.tv_nsec), Int64(facts.st_ctim.tv_sec),
      Int64(facts.st_ctim.tv_nsec),
    ]
  }
}
