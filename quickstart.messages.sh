# SPDX-License-Identifier: Apache-2.0
# What quickstart.sh says, in English and in Chinese; quickstart.sh reads this file.

# message NAME [ARGUMENT ...]: prints a message in the language of the locale.
message() {
    name=$1
    shift
    case $name in
    usage)
        en='Usage: sh quickstart.sh [start|stop|test|help]

  start   builds the modules, starts a private httpd with a demo upstream, makes an admin and a client key,
          and sends one chat through the pool (this is the default)
  stop    stops that httpd, whatever its port
  test    installs everything that the tests need, and runs them all

Variables:
  PORT=N                   the port on 127.0.0.1 (8080)
  UPSTREAM=URL KEYS=FILE   a real upstream, and a file with its keys, one a line
  MODEL=NAME               the model of the chat (the first one that the upstream lists and that can chat)
  TESTS="t/a.t t/b.t"      runs these tests only; everything that any test needs is installed all the same\n'
        zh='用法：sh quickstart.sh [start|stop|test|help]

  start   编译模块，启动一个私有的 httpd 和演示上游，创建管理员和客户端密钥，
          并经由密钥池发送一次对话请求（默认）
  stop    停止该 httpd，无论它用的是哪个端口
  test    安装测试所需的全部软件包，并运行所有测试

环境变量：
  PORT=N                   127.0.0.1 上的端口（8080）
  UPSTREAM=URL KEYS=FILE   真实的上游，以及存放其密钥的文件，每行一个
  MODEL=NAME               对话所用的模型（默认取上游模型列表中第一个支持对话的）
  TESTS="t/a.t t/b.t"      只运行这些测试；测试所需的软件包仍会全部安装\n' ;;
    unknown_command)
        en="unknown command '%s'"
        zh='未知命令“%s”' ;;
    seconds)
        en=' %s s'
        zh=' %s 秒' ;;
    log)
        en='The whole log is in %s'
        zh='完整日志：%s' ;;

    # what you set
    keys_missing)
        en='UPSTREAM needs KEYS=FILE, a file with one key a line'
        zh='设置了 UPSTREAM 时还需要 KEYS=FILE：密钥文件，每行一个密钥' ;;
    upstream_missing)
        en='KEYS needs UPSTREAM=URL; the demo upstream does not take real keys'
        zh='设置了 KEYS 时还需要 UPSTREAM=URL；不要把真实密钥交给演示上游' ;;
    keys_unreadable)
        en='KEYS=%s: no such file, or it cannot be read'
        zh='KEYS=%s：文件不存在或无法读取' ;;
    port_impossible)
        en='PORT=%s: a number from 1 to 65535 is needed'
        zh='PORT=%s：端口必须是 1 到 65535 之间的数字' ;;
    port_privileged)
        en='PORT=%s: only root may listen on ports below %s'
        zh='PORT=%s：只有 root 才能监听 %s 以下的端口' ;;
    port_busy)
        en='PORT=%s is in use by another program; choose another one, for example PORT=%s sh quickstart.sh'
        zh='PORT=%s 已被其他程序占用；请换一个端口，例如 PORT=%s sh quickstart.sh' ;;
    test_unknown)
        en='TESTS: there is no test %s'
        zh='TESTS：没有测试 %s' ;;

    # packages
    packages_need_root)
        en='packages are missing; install them as root: apt-get install --no-install-recommends %s'
        zh='缺少软件包；请以 root 身份安装：apt-get install --no-install-recommends %s' ;;
    packages_without_apt)
        en='there is no apt-get here; install what these Debian packages hold: %s'
        zh='此系统没有 apt-get；请自行安装与这些 Debian 软件包对应的内容：%s' ;;
    packages_updating)
        en='updating the lists of packages ...'
        zh='正在更新软件包列表……' ;;
    packages_update_failed)
        en='apt-get update failed; is the network there?'
        zh='apt-get update 失败；网络是否可用？' ;;
    packages_unknown)
        en='apt does not know these packages: %s
On Ubuntu, most of them are in the component universe. Enable it: put "universe" behind "main" in
/etc/apt/sources.list or /etc/apt/sources.list.d/ubuntu.sources, or call "add-apt-repository universe".'
        zh='apt 找不到这些软件包：%s
在 Ubuntu 上，它们大多位于 universe 组件。请启用该组件：在 /etc/apt/sources.list 或
/etc/apt/sources.list.d/ubuntu.sources 中的 main 之后加上 universe，或运行 add-apt-repository universe。' ;;
    packages_installing)
        en='installing %s packages: %s ...'
        zh='正在安装 %s 个软件包：%s……' ;;
    packages_failed)
        en='apt-get could not install the packages'
        zh='apt-get 未能安装软件包' ;;
    without_charts)
        en='without Chart.js (Debian package libjs-chart.js) the dashboard shows tables instead of charts'
        zh='没有 Chart.js（Debian 软件包 libjs-chart.js），管理页面将以表格代替图表' ;;
    without_browser)
        en='skipped: the browser test, since apt has no chromium here (on Ubuntu it is a snap) and none is on the PATH'
        zh='跳过浏览器测试：apt 中没有 chromium（在 Ubuntu 上只有 snap 版），PATH 中也没有' ;;
    promtool_fetching)
        en='unpacking promtool from the package prometheus, whose server is not installed ...'
        zh='正在从 prometheus 软件包中解出 promtool（不安装其服务）……' ;;
    promtool_failed)
        en='promtool could not be taken from the package prometheus'
        zh='未能从 prometheus 软件包中取得 promtool' ;;

    # build and start
    building)
        en='building in %s ...'
        zh='正在编译，目录 %s……' ;;
    build_failed)
        en='the build failed'
        zh='编译失败' ;;
    run_elsewhere)
        en='www-data cannot enter %s, so the files of httpd are in %s'
        zh='www-data 无法进入 %s，因此 httpd 的文件放在 %s' ;;
    no_admins)
        en='htpasswd could not write %s'
        zh='htpasswd 无法写入 %s' ;;
    page_failed)
        en='the dashboard could not be copied'
        zh='未能复制管理页面' ;;
    starting)
        en='starting httpd on 127.0.0.1:%s; its files are in %s'
        zh='正在启动 httpd，监听 127.0.0.1:%s，文件位于 %s' ;;
    not_started)
        en='httpd did not start; see the lines above and %s'
        zh='httpd 启动失败；请查看上面的输出和 %s' ;;
    not_answering)
        en='httpd does not answer; see %s'
        zh='httpd 没有响应；请查看 %s' ;;
    no_session)
        en='the admin cannot sign in: %s'
        zh='管理员无法登录：%s' ;;
    no_client)
        en='the client key could not be made: %s'
        zh='无法创建客户端密钥：%s' ;;
    replaced)
        en='stopped the one that was running on port %s'
        zh='已停止先前在端口 %s 上运行的实例' ;;
    stopped)
        en='stopped'
        zh='已停止' ;;
    not_running)
        en='was not running'
        zh='没有正在运行的实例' ;;
    not_yours)
        en='httpd (process %s) runs as another user; stop it as that user'
        zh='httpd（进程 %s）由其他用户运行；请以该用户身份停止' ;;
    not_stopping)
        en='httpd does not stop; these processes are left: %s'
        zh='httpd 未能停止；剩余进程：%s' ;;

    # the chat
    no_models)
        en='the upstream does not list its models (HTTP %s); name one: MODEL=NAME sh quickstart.sh'
        zh='上游没有返回模型列表（HTTP %s）；请指定模型：MODEL=NAME sh quickstart.sh' ;;
    no_chat_model)
        en='no model that the upstream lists looks like one that can chat; name one: MODEL=NAME sh quickstart.sh'
        zh='上游的模型列表中没有看起来支持对话的模型；请指定模型：MODEL=NAME sh quickstart.sh' ;;
    chatting)
        en='one chat through the pool, with the model %s:'
        zh='经由密钥池发送一次对话请求，模型 %s：' ;;
    chat_unsent)
        en='the chat failed: httpd gave no answer'
        zh='对话失败：httpd 没有应答' ;;
    chat_failed)
        en='the chat failed: HTTP %s, and no choices in the answer above'
        zh='对话失败：HTTP %s，上面的应答中没有 choices' ;;
    look)
        en='Look into %s and at the keys on the dashboard: http://127.0.0.1:%s/apipool/
(user admin, password %s). httpd is still running; stop it with: sh quickstart.sh stop\n'
        zh='请查看 %s，以及管理页面上各密钥的状态：http://127.0.0.1:%s/apipool/
（用户 admin，密码 %s）。httpd 仍在运行，停止命令：sh quickstart.sh stop\n' ;;
    ready)
        en='The pool answers at http://127.0.0.1:%s/v1 - point any OpenAI client there:\n'
        zh='密钥池的地址是 http://127.0.0.1:%s/v1，任何 OpenAI 客户端都可以指向它：\n' ;;
    dashboard)
        en='The dashboard is at http://127.0.0.1:%s/apipool/ and its API below that, at api/:

  user      admin
  password  %s

Its configuration is %s. Stop it with: sh quickstart.sh stop\n'
        zh='管理页面：http://127.0.0.1:%s/apipool/，其 API 在它下面的 api/：

  用户      admin
  密码      %s

配置文件：%s。停止命令：sh quickstart.sh stop\n' ;;

    # tests
    copying)
        en='copying the sources to %s, where the user of the tests can read them'
        zh='正在把源码复制到 %s，以便运行测试的用户可以读取' ;;
    npm_installing)
        en='installing the SDK and the browser driver of the tests (npm, locked versions) ...'
        zh='正在安装测试用的 SDK 和浏览器驱动（npm，版本已锁定）……' ;;
    npm_failed)
        en='npm could not install what %s names'
        zh='npm 未能安装 %s 中列出的内容' ;;
    building_strict)
        en='building, with warnings as errors ...'
        zh='正在编译，警告视为错误……' ;;
    analysing)
        en='looking for faults with clang-tidy and gcc, and at the formatting ...'
        zh='正在用 clang-tidy 和 gcc 查找错误，并检查排版……' ;;
    analysis_failed)
        en='clang-tidy, gcc or clang-format found something'
        zh='clang-tidy、gcc 或 clang-format 发现了问题' ;;
    coverage)
        en='lines that the unit tests have run:'
        zh='单元测试执行到的行：' ;;
    coverage_failed)
        en='gcov could not count the lines that the unit tests have run'
        zh='gcov 未能统计单元测试执行到的行' ;;
    building_sanitized)
        en='building the unit tests with AddressSanitizer and UndefinedBehaviorSanitizer ...'
        zh='正在以 AddressSanitizer 和 UndefinedBehaviorSanitizer 编译单元测试……' ;;
    running_units)
        en='running the unit tests under the sanitizers ...'
        zh='正在 sanitizer 下运行单元测试……' ;;
    units_failed)
        en='the unit tests failed under the sanitizers'
        zh='单元测试在 sanitizer 下失败' ;;
    running_tests)
        en='running the tests'
        zh='正在运行测试' ;;
    screenshots)
        en='pictures of the dashboard are in %s'
        zh='管理页面的截图在 %s' ;;
    running_as_root)
        en='starting httpd as root, and attacking it as www-data'
        zh='正在以 root 启动 httpd，并以 www-data 的身份攻击它' ;;
    as_root_failed)
        en='www-data got further than it may, or httpd does not work when root starts it'
        zh='www-data 越过了它的权限，或者 httpd 由 root 启动时不能正常工作' ;;
    running_roots)
        en='running both commands and the package in minimal Debian roots'
        zh='正在最小化的 Debian 环境中运行两条命令并测试软件包' ;;
    tests_failed)
        en='there are failing tests'
        zh='有测试失败' ;;
    roots_failed)
        en='a command failed in a minimal root'
        zh='有命令在最小化环境中失败' ;;
    *)
        echo "quickstart: no message '$name'" >&2
        exit 1
        ;;
    esac
    [ "$language" = en ] || en=$zh
    # shellcheck disable=SC2059 # the formats are those above
    printf "$en" "$@"
}
