'use strict';

function cookie(name) {
  const found = document.cookie.split('; ').find((each) => each.startsWith(name + '='));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : '';
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// The composer: each file goes up by itself, as the raw body of a request, before the post is sent.
function compose(composer) {
  const text = composer.querySelector('textarea');
  const input = composer.querySelector('input[type=file]');
  const pictures = composer.querySelector('._pics_19xm2_7');
  const alert = composer.querySelector('[role=alert]');
  const audience = composer.querySelector('[aria-haspopup]');
  const send = composer.querySelector('._send_7bq0c_5');
  let queue = Promise.resolve();
  let waiting = 0;
  let sending = false;

  const pids = () => [...pictures.querySelectorAll('[data-pid]')].map((each) => each.dataset.pid);
  const refresh = () => { send.disabled = sending || waiting > 0 || !(text.value.trim() || pids().length); };

  function upload(file, tile, state) {
    return new Promise((done) => {
      const request = new XMLHttpRequest();
      const query = 'app=miniblog&s=json&p=1&marks=0&rotate=0&logo=0&file_source=1&ori=0';
      request.open('POST', '/interface/upload.php?' + query);
      request.responseType = 'text';
      request.upload.onprogress = (event) => {
        state.textContent = event.lengthComputable ? Math.round(100 * event.loaded / event.total) + '%' : '…';
      };
      request.onloadend = () => {
        if (/<data>100006<\/data>/.test(request.response)) location.assign('/sso/signin');
        const answer = request.response.startsWith('{') ? JSON.parse(request.response) : { msg: '上传失败' };
        if (answer.ret) {
          tile.dataset.pid = answer.pic.pid;
          state.replaceWith(element('i', { title: '删除', onclick: () => { tile.remove(); refresh(); } }));
        } else {
          alert.textContent = file.name + ': ' + answer.msg;
          tile.remove();
        }
        done();
      };
      request.send(file);
    });
  }

  input.addEventListener('change', () => {
    alert.textContent = '';
    for (const file of input.files) {
      if (pictures.children.length === 9) {
        alert.textContent = '最多可以上传9张图片';
        break;
      }
      const state = element('span', { textContent: '等待中' });
      const tile = element('div', { className: '_pic_4n8sa_6' },
        element('img', { src: URL.createObjectURL(file), alt: '' }), state);
      pictures.append(tile);
      waiting += 1;
      queue = queue.then(() => upload(file, tile, state)).then(() => { waiting -= 1; refresh(); });
    }
    input.value = '';
    refresh();
  });
  text.addEventListener('input', refresh);

  audience.addEventListener('click', () => {
    const open = composer.querySelector('[role=menu]');
    if (open) return open.remove();
    const menu = element('ul', { role: 'menu' });
    for (const [visible, name] of [['0', '公开'], ['6', '好友圈'], ['1', '仅自己可见']]) {
      menu.append(element('li', {
        role: 'menuitem',
        textContent: name,
        onclick: () => { audience.textContent = name; audience.dataset.visible = visible; menu.remove(); },
      }));
    }
    audience.after(menu);
  });

  send.addEventListener('click', async () => {
    sending = true;
    refresh();
    const attached = pids();
    let answer = { ok: 0, msg: '网络异常，请稍后再试' };
    try {
      answer = await (await fetch('/ajax/statuses/update', {
        method: 'POST',
        headers: { 'X-XSRF-TOKEN': cookie('XSRF-TOKEN') },
        body: new URLSearchParams({
          content: text.value, pic_id: JSON.stringify(attached), visible: audience.dataset.visible,
        }),
      })).json();
    } catch { /* the message says it */ }
    sending = false;
    if (answer.ok === 1) {
      const gallery = element('div', { className: '_pics_19xm2_7' },
        ...attached.map((pid) => element('img', { loading: 'lazy', src: `/orj360/${pid}.jpg`, alt: '' })));
      document.querySelector('#feed').prepend(element('article', { className: '_feed_9dkk2_1' },
        element('a', { href: document.querySelector('a[href^="/u/"]').href, textContent: '我' }), ' ',
        element('i', { className: '_eye_k2m4w_8', title: audience.textContent }),
        element('p', { textContent: text.value }), gallery));
      text.value = '';
      pictures.replaceChildren();
      alert.textContent = '';
    } else if (answer.ok === -100) {
      location.assign('/sso/signin');
    } else {
      alert.textContent = answer.msg;
    }
    refresh();
  });
}

// The album: the wall's data come page by page.
function showWall(wall) {
  const more = document.querySelector('#more');
  let cursor = 0;
  async function next() {
    more.disabled = true;
    const query = new URLSearchParams({ uid: wall.dataset.uid, sinceid: cursor });
    try {
      const { data } = await (await fetch('/ajax/profile/getImageWall?' + query)).json();
      wall.append(...data.list.map(({ pid }) => element('img', { loading: 'lazy', src: `/orj360/${pid}.jpg`, alt: '' })));
      cursor = data.since_id;
      more.hidden = !cursor;
    } catch {
      more.hidden = false;
    }
    more.disabled = false;
  }
  more.addEventListener('click', next);
  next();
}

const composer = document.querySelector('#composer');
const wall = document.querySelector('#wall');
if (composer) compose(composer);
if (wall) showWall(wall);
