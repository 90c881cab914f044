import Glibc
import TestKit
import Testing

@testable import LinuxSystem

/// Who a process of an image is. What is read wrongly here runs as somebody else.
@Suite struct UserDatabaseTests {
  private let database = UserDatabase(
    passwd: Array(
      """
      # comment:x:9:9
      root:x:0:0:root:/root:/bin/sh
      web:x:33:34::/srv/www
      short:x:50:51
      toofew:x:52
      ghost:x:4294967295:4294967295
      negative:x:-1:0
      plus:x:+7:+7
      spaced:x: 7:7
      big:x:4294967294:4294967294
      web:x:99:99::/second
      :x:60:60::/nameless
      more:x:70:71:a:/home/more:/bin/sh:and:more
      """.utf8),
    group: Array(
      """
      root:x:0:
      www:x:34:web,more
      both:x:80:more,web,more
      dup:x:34:web
      nobody:x:4294967295:web
      none:x:81
      bad:x:x:web
      empty:x:82:,,
      """.utf8))

  @Test func lines() {
    #expect(
      database.users.map(\.name) == ["root", "web", "short", "big", "web", "", "more"])
    #expect(database.user(named: "web") == UserDatabase.User(name: "web", uid: 33, gid: 34, home: "/srv/www"))
    #expect(database.user(named: "short")?.home == "" && database.user(named: "more")?.home == "/home/more")
    #expect(database.user(99)?.home == "/second" && database.user(7) == nil)
    for name in ["toofew", "ghost", "negative", "plus", "spaced", "# comment", "nobody"] {
      #expect(database.user(named: name) == nil, "\(name)")
    }
    #expect(database.groups.map(\.name) == ["root", "www", "both", "dup", "none", "empty"])
    #expect(database.memberships(of: "web") == [34, 80, 34] && database.memberships(of: "more") == [34, 80])
    #expect(database.memberships(of: "") == [] && database.memberships(of: "x") == [])
    #expect(database.group(named: "dup")?.gid == 34 && database.group(named: "bad") == nil)
  }

  @Test func numbers() {
    #expect(UserDatabase.number("0") == 0 && UserDatabase.number("4294967294") == 4_294_967_294)
    #expect(UserDatabase.number("0000000000007") == 7)
    for text in [
      "", "4294967295", "4294967296", "99999999999999999999", "-1", "+1", " 1", "1 ", "0x1", "1.0", "\u{661}",
      "\u{ff11}", "1\u{301}",
    ] {
      #expect(UserDatabase.number(text) == nil, "\(text)")
    }
  }

  @Test func eachGroupOnceWithThePrimaryFirst() {
    #expect(UserDatabase.processGroups(primary: 5, additional: []) == [5])
    #expect(UserDatabase.processGroups(primary: 5, additional: [7, 5, 7, 0]) == [5, 7, 0])
  }

  /// What is written as passwd(5) has it is read as it is meant; and whatever else stands between changes nothing.
  @Test(arguments: 0..<20 as Range<UInt64>) func anythingThatIsWrittenIsRead(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var passwd: [UInt8] = []
    var group: [UInt8] = []
    var users: [UserDatabase.User] = []
    var members: [String: [UInt32]] = [:]
    for number in 0..<Int.random(in: 0...30, using: &random) {
      if Bool.random(using: &random) {
        // No line of the form: not enough fields, or no number where one has to be.
        passwd += random.bytes(0...20, of: Array("abz0,/ \t\r".utf8) + [0, 0xff]) + [0x0a]
        group += Array("#".utf8) + random.bytes(0...20, of: Array("ab:0,/".utf8)) + [0x0a]
      }
      let name = "u\(number)\(["", "-x", ".y", "\u{e9}", "$"].randomElement(using: &random)!)"
      let user = UserDatabase.User(
        name: name, uid: UInt32.random(in: 0...4_294_967_294, using: &random), gid: UInt32(number), home: "/h/\(name)")
      users.append(user)
      passwd += Array("\(name):x:\(user.uid):\(user.gid):,,,:\(user.home):/bin/sh\n".utf8)
      let chosen = users.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }.map(\.name)
      for name in chosen { members[name, default: []].append(UInt32(1000 + number)) }
      group += Array("g\(number):!:\(1000 + number):\(chosen.joined(separator: ","))\n".utf8)
    }
    let database = UserDatabase(passwd: passwd, group: group)
    #expect(database.users == users)
    for user in users {
      #expect(database.user(named: user.name) == user)
      #expect(database.memberships(of: user.name) == members[user.name] ?? [])
    }
  }

  @Test(arguments: [1, 2, 3, 4] as [UInt64]) func anyBytesAreRead(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<1000 {
      let bytes = random.bytes(0...120, of: Array(":::\n\n#x0123456789,".utf8) + [0, 0x0d, 0xff])
      let database = UserDatabase(passwd: bytes, group: bytes)
      // Nobody gets the number that means "as it is".
      for user in database.users { #expect(user.uid != .max && user.gid != .max) }
      for group in database.groups { #expect(group.gid != .max) }
    }
  }

  // MARK: Of a folder

  private let folder = TestFolder()

  @Test func filesAreReadInsideTheRootOnly() throws {
    let root = "\(folder.path)/root"
    try Directory.create(root)
    #expect(try UserDatabase(root: root) == UserDatabase())
    try folder.write("evil:x:0:0\n", to: "outside/passwd")
    try folder.write("web:x:33:34\n", to: "root/real/passwd")
    try folder.write("www:x:34:web\n", to: "root/etc/group")
    for (target, users) in [
      ("/real/passwd", ["web"]), ("../real/passwd", ["web"]), ("../../../real/passwd", ["web"]),
      ("../../outside/passwd", []), ("\(folder.path)/outside/passwd", []), ("/etc/none", []),
    ] {
      unlink("\(root)/etc/passwd")
      #expect(symlink(target, "\(root)/etc/passwd") == 0)
      #expect(try UserDatabase(root: root).users.map(\.name) == users, "\(target)")
      #expect(try UserDatabase(root: root).memberships(of: "web") == [34])
    }
  }

  /// What is there and cannot be read is no empty file: its users would be root's group.
  @Test func whatCannotBeReadIsAnError() throws {
    let root = "\(folder.path)/root"
    try folder.write(String(repeating: "a", count: UserDatabase.sizeMax + 1), to: "root/etc/passwd")
    #expect(code { _ = try UserDatabase(root: root) } == EFBIG)
    unlink("\(root)/etc/passwd")
    #expect(mkfifo("\(root)/etc/passwd", 0o600) == 0)
    #expect(code { _ = try UserDatabase(root: root) } == EINVAL)
    unlink("\(root)/etc/passwd")
    try Directory.create("\(root)/etc/passwd")
    #expect(code { _ = try UserDatabase(root: root) } == EINVAL)
    try Directory.removeTree("\(root)/etc/passwd")
    #expect(symlink("passwd", "\(root)/etc/passwd") == 0)
    #expect(code { _ = try UserDatabase(root: root) } == ELOOP)
    #expect(code { _ = try UserDatabase(root: "\(folder.path)/none") } == ENOENT)
  }
}
