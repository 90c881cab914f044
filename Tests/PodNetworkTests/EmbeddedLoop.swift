import NIOCore
import NIOPosix

enum EmbeddedLoop {
  static var loop: any EventLoop { MultiThreadedEventLoopGroup.singleton.any() }
}
